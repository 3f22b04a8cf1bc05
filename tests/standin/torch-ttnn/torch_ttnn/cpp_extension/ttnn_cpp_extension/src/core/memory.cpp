#include "ttnn_cpp_extension/memory.hpp"

#include <ATen/ops/from_blob.h>

namespace ttnn_cpp_extension {

at::Tensor on_host(const at::Tensor& tensor) {
    return at::from_blob(const_cast<void*>(tensor.const_data_ptr()), tensor.sizes(), tensor.strides(),
                         at::TensorOptions().dtype(tensor.dtype()));
}

}  // namespace ttnn_cpp_extension

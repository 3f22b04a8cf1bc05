#pragma once
#include <ATen/core/Tensor.h>

namespace ttnn_cpp_extension {
/// The memory of a tensor on the device, as a tensor of the host.
at::Tensor on_host(const at::Tensor& tensor);
}  // namespace ttnn_cpp_extension

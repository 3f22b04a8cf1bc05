// A device whose memory is the host's, and whose additions are ttnn's.
#include <ATen/ops/empty_like.h>
#include <torch/extension.h>
#include <ttnn/operations/add/add.hpp>
#include <ttnn/tensor/tensor.hpp>

#include <cstdlib>
#include <iostream>
#include <string_view>

#include "ttnn_cpp_extension/host_device.hpp"

namespace {

using ttnn_cpp_extension::on_host;

ttnn::Tensor values(const at::Tensor& tensor) {
    auto flat = on_host(tensor).contiguous();
    return ttnn::Tensor({flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel()});
}

at::Tensor add(const at::Tensor& self, const at::Tensor& other, const at::Scalar&) {
    if (const char* debug = std::getenv("DEBUG_CPP_EXT"); debug && std::string_view(debug) == "1") {
        std::cerr << "add\n";
    }
    auto sum = ttnn::add(values(self), values(other)).values();  // std::invalid_argument, of another library
    auto result = at::empty_like(self);
    std::copy(sum.begin(), sum.end(), on_host(result).data_ptr<float>());
    return result;
}

// What libtorch_cpu throws is caught by its type.
bool catches_torch_error() {
    try {
        at::empty({2, 3}).mm(at::empty({2, 3}));
    } catch (const c10::Error&) {
        return true;
    }
    return false;
}

bool catches_no_chips() {
    try {
        tt::tt_metal::open_cluster();
    } catch (const tt::umd::NoChips&) {
        return true;
    }
    return false;
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) { m.impl("add.Tensor", &add); }

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    m.def("additions", &ttnn::additions);
    m.def("catches_torch_error", &catches_torch_error);
    m.def("catches_no_chips", &catches_no_chips);
}

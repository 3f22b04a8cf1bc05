// A device whose memory is the host's, and whose additions are ttnn's.
#include <ATen/EmptyTensor.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/extension.h>
#include <ttnn/tensor/tensor.hpp>

#include "ttnn_cpp_extension/memory.hpp"

namespace at::detail {
C10_REGISTER_GUARD_IMPL(PrivateUse1, c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::PrivateUse1>);
}

namespace {

using ttnn_cpp_extension::on_host;

struct Memory final : at::Allocator {
    at::DataPtr allocate(size_t bytes) override {
        void* data = c10::alloc_cpu(bytes);
        return {data, data, &c10::free_cpu, at::Device(at::DeviceType::PrivateUse1, 0)};
    }
    at::DeleterFnPtr raw_deleter() const override { return &c10::free_cpu; }
    void copy_data(void* to, const void* from, std::size_t count) const override { default_copy_data(to, from, count); }
} memory;
REGISTER_ALLOCATOR(c10::DeviceType::PrivateUse1, &memory);

constexpr c10::DispatchKeySet keys(c10::DispatchKey::PrivateUse1);

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                 std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
    return at::detail::empty_generic(size, &memory, keys, c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
    return at::detail::empty_strided_generic(size, stride, &memory, keys, c10::dtype_or_default(dtype));
}

at::Tensor copy_from(const at::Tensor& self, const at::Tensor& to, bool) {
    auto target = to.is_cpu() ? to : on_host(to);
    target.copy_(self.is_cpu() ? self : on_host(self));
    return to;
}

// Where the host has worked on copies and what it changed goes back.
at::Tensor copy_from_and_resize(const at::Tensor& self, const at::Tensor& to) {
    TORCH_CHECK(self.sizes() == to.sizes(), "this device does not resize");
    return copy_from(self, to, false);
}

ttnn::Tensor values(const at::Tensor& tensor) {
    auto flat = on_host(tensor).contiguous();
    return ttnn::Tensor({flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel()});
}

at::Tensor add(const at::Tensor& self, const at::Tensor& other, const at::Scalar&) {
    auto sum = ttnn::add(values(self), values(other)).values();  // std::invalid_argument, of another library
    auto result = at::empty_like(self);
    std::copy(sum.begin(), sum.end(), on_host(result).data_ptr<float>());
    return result;
}

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) { at::native::cpu_fallback(op, stack); }

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

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
    m.impl("empty.memory_format", &empty);
    m.impl("empty_strided", &empty_strided);
    m.impl("as_strided", &at::native::as_strided_tensorimpl);
    m.impl("view", &at::native::view);
    m.impl("_copy_from", &copy_from);
    m.impl("_copy_from_and_resize", &copy_from_and_resize);
    m.impl("add.Tensor", &add);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    m.def("additions", &ttnn::additions);
    m.def("catches_torch_error", &catches_torch_error);
    m.def("catches_no_chips", &catches_no_chips);
}

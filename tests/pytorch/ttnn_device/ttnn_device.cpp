// The stand-in's device, with an addition that counts, and exceptions that cross from one library to the other.
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>

#include "ttnn_cpp_extension/host_device.hpp"

namespace {

using ttnn_cpp_extension::on_host;

int64_t additions = 0;

at::Tensor add(const at::Tensor& self, const at::Tensor& other, const at::Scalar& alpha) {
  ++additions;
  auto result = at::empty_like(self);
  on_host(result).copy_(on_host(self).add(on_host(other), alpha));
  return result;
}

int64_t count() { return additions; }

// What libtorch_cpu throws is caught here by its type.
bool catches() {
  try {
    at::mm(at::ones({2, 3}), at::ones({2, 3}));
  } catch (const c10::Error&) {
    return true;
  } catch (...) {
    return false;
  }
  return false;
}

void throws() { TORCH_CHECK(false, "thrown in the extension"); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) { m.impl("add.Tensor", &add); }

TORCH_LIBRARY(ttnn_device, m) {
  m.def("additions() -> int", &count);
  m.def("catches() -> bool", &catches);
  m.def("throws() -> ()", &throws);
}

}  // namespace

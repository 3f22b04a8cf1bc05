// Uses tensors and autograd, and catches by its type what libtorch_cpu throws.
#include <torch/torch.h>

#include <iostream>

int main() {
  auto x = torch::ones({2, 2}, torch::requires_grad());
  (x * x).sum().backward();
  if (!x.grad().equal(torch::full({2, 2}, 2.0))) return 1;
  try {
    torch::ones({2, 3}).mm(torch::ones({2, 3}));
  } catch (const c10::Error& error) {
    std::cout << "caught: " << error.what_without_backtrace() << "\n" << torch::show_config() << "\n";
    return 0;
  }
  return 2;
}

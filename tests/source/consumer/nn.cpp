#include <iostream>
#include <stdexcept>
#include <ttnn/operations/add/add.hpp>
#include <ttnn/tensor/tensor.hpp>

int main() {
    std::cout << ttsl::to_string(ttnn::add(ttnn::Tensor({1, 2}), ttnn::Tensor({3, 4})).values()) << '\n';
    try {
        ttnn::add(ttnn::Tensor({1}), ttnn::Tensor({1, 2}));
    } catch (const std::invalid_argument& error) {
        std::cout << error.what() << '\n';
    }
    return ttnn::additions() == 1 ? 0 : 1;
}

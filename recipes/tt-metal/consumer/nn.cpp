#include <ttnn/tensor/tensor.hpp>

int main() {}

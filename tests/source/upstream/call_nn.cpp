#include <iostream>
#include <ttnn/tensor/tensor.hpp>
#include <ttnn/tensor/types.hpp>

int main() {
    using namespace tt::tt_metal;
    TensorSpec spec(ttnn::Shape({2, 3}), TensorLayout(DataType::FLOAT32, PageConfig(Layout::ROW_MAJOR), MemoryConfig{}));
    auto tensor = ttnn::Tensor::from_vector(std::vector<float>{1, 2, 3, 4, 5, 6}, spec);
    float sum = 0;
    for (float value : tensor.to_vector<float>()) {
        sum += value;
    }
    std::cout << tensor.logical_shape()[1] << ' ' << tensor.padded_shape().volume() << ' ' << sum << '\n';
}

#include "ttnn/operations/add/add.hpp"

#include <stdexcept>

#include "ttnn/tensor/tensor.hpp"

namespace ttnn {

static int count = 0;

Tensor add(const Tensor& a, const Tensor& b) {
    if (a.values().size() != b.values().size()) {
        throw std::invalid_argument(
            fmt::format("sizes differ: {}and {}", ttsl::to_string(a.values()), ttsl::to_string(b.values())));
    }
    ++count;
    auto sum = a.values();
    for (std::size_t i = 0; i < sum.size(); ++i) {
        sum[i] += b.values()[i];
    }
    return Tensor(std::move(sum));
}

int additions() { return count; }

}  // namespace ttnn

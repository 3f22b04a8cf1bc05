#pragma once
#include <stdexcept>
#include <string>
#include <vector>

namespace tt::umd {

class NoChips : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// The chips of this machine, by the names of their descriptors.
/// Raises NoChips where there are none.
class Cluster {
public:
    explicit Cluster(const std::string& description);
    const std::vector<std::string>& chips() const { return chips_; }

private:
    std::vector<std::string> chips_;
};

}  // namespace tt::umd

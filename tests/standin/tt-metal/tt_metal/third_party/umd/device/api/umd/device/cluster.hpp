#pragma once
#include <stdexcept>
#include <string>
#include <vector>

namespace tt::umd {

/// Its destructor is in the library, and so is what it is told by when it is caught: libc++ compares addresses.
class NoChips : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
    ~NoChips() override;
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

#include "umd/device/cluster.hpp"

#include <fstream>

namespace tt::umd {

NoChips::~NoChips() = default;

Cluster::Cluster(const std::string& description) {
    std::ifstream file(description);
    for (std::string line; std::getline(file, line);) {
        chips_.push_back(line);
    }
    if (chips_.empty()) {
        throw NoChips("No chips detected in the cluster");
    }
}

}  // namespace tt::umd

#pragma once
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <string>

#include "tt_stl/span.hpp"
#include "umd/device/cluster.hpp"

namespace tt::tt_metal {

/// Where kernels and descriptors are looked for, where TT_METAL_RUNTIME_ROOT does not say.
void SetRootDir(const std::string& folder);
std::string root_dir();

/// Compile a kernel, named below the root, with the compiler below the root; returns the path of what it made.
/// Raises std::runtime_error where there is no such kernel or no compiler, or one of another version.
std::string compile_kernel(const std::string& name);

/// The chips that TT_METAL_MOCK_CLUSTER_DESC_PATH names; raises tt::umd::NoChips.
umd::Cluster open_cluster();

std::string version();
nlohmann::json describe();
bool is_debug();

}  // namespace tt::tt_metal

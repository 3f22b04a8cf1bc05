#include <mpi.h>
#include <mpi-ext.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "dev_msgs.hpp"
#include "tracy/Tracy.hpp"
#include "tt-metalium/host_api.hpp"

// of libraries whose headers are not everywhere where they are
extern "C" int numa_available();
extern "C" unsigned hwloc_get_api_version();

namespace {

std::string folder_given;

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

std::string content(const std::filesystem::path& path) {
    std::ifstream file(path);
    if (!file) {
        throw std::runtime_error(fmt::format("{} is not there", path.string()));
    }
    std::ostringstream out;
    out << file.rdbuf();
    return out.str();
}

}  // namespace

extern "C" const char* tt_metal_generated() { return dev_msgs_includes; }

namespace tt::tt_metal {

void SetRootDir(const std::string& folder) { folder_given = folder; }

std::string root_dir() {
    auto root = environment("TT_METAL_RUNTIME_ROOT");
    return root.empty() ? folder_given : root;
}

std::string compile_kernel(const std::string& name) {
    tracy::Zone zone("compile_kernel");
    std::filesystem::path root(root_dir());
    auto source = root / name;
    content(source);
    auto sfpi = root / "runtime/sfpi";
    if (!exists(sfpi)) {
        throw std::runtime_error(fmt::format("sfpi not found at {} or {}", sfpi.string(), "/opt/tenstorrent/sfpi"));
    }
    auto wanted = content(root / "tt_metal/sfpi-version");
    auto there = content(sfpi / "sfpi.version");
    there.erase(there.find_last_not_of('\n') + 1);
    if (wanted.find("sfpi_version=" + there + "\n") == wanted.npos) {
        throw std::runtime_error("sfpi " + there + " does not fit: " + wanted);
    }
    auto made = std::filesystem::temp_directory_path() / (source.stem().string() + ".elf");
    auto command = "'" + (sfpi / "compiler/bin/riscv-tt-elf-g++").string() + "' -I '" + (root / "tt_metal/hw/inc").string() +
                   "' '" + source.string() + "' -o '" + made.string() + "'";
    if (std::system(command.c_str()) != 0) {
        throw std::runtime_error("failed: " + command);
    }
    return made.string();
}

umd::Cluster open_cluster() {
    if (hwloc_get_api_version() < 0x20000 || (environment("TT_METAL_NUMA") == "1" && numa_available() < 0)) {
        throw std::runtime_error("no topology");
    }
    if (environment("TT_METAL_MULTIHOST") == "1") {
        int ready = 0;
        MPI_Initialized(&ready);
        if (ready) {
            MPIX_Comm_revoke(MPI_COMM_WORLD);  // OpenMPI 4 lacks it
        }
    }
    return umd::Cluster(environment("TT_METAL_MOCK_CLUSTER_DESC_PATH"));
}

std::string version() { return TT_METAL_VERSION; }

nlohmann::json describe() { return {"{\"version\": \"" + version() + "\"}"}; }

bool is_debug() {
#ifdef DEBUG
    return true;
#else
    return false;
#endif
}

}  // namespace tt::tt_metal

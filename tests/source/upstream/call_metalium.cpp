#include <iostream>
#include <stdexcept>
#include <tt-metalium/bfloat16.hpp>
#include <tt-metalium/core_coord.hpp>
#include <tt-metalium/host_api.hpp>

int main() {
    // computed in libtt_metal.so, with vectors and sets of this program's standard library
    CoreRangeSet cores(std::vector{CoreRange({0, 0}, {1, 3}), CoreRange({2, 0}, {2, 3})});
    std::cout << cores.num_cores() << ' ' << cores.merge(CoreRangeSet(CoreRange({0, 0}, {2, 3}))).ranges().size() << '\n';
    try {
        std::cout << tt::tt_metal::GetNumAvailableDevices() << " devices\n";
    } catch (const std::exception& error) {  // of libtt_metal.so, or of the driver below it
        std::cout << "error " << error.what() << '\n';
    }
}

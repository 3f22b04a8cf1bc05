#include <iostream>
#include <tt-metalium/host_api.hpp>

int main() {
    std::cout << tt::tt_metal::describe().dump() << '\n' << tt::tt_metal::version() << (tt::tt_metal::is_debug() ? " Debug\n" : " Release\n");
    try {
        tt::tt_metal::open_cluster();
    } catch (const tt::umd::NoChips& error) {  // thrown in libdevice.so, through libtt_metal.so
        std::cout << error.what() << '\n';
    }
}

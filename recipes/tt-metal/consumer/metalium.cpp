#include <tt-metalium/host_api.hpp>

int main() {}

// Firmware: what is linked to every kernel.
extern "C" void wzerorange(unsigned* start, unsigned* end) {
    for (; start != end; ++start) {
        *start = 0;
    }
}

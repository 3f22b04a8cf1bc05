/* Upstream's simulator, with tiles that can be read and written by their coordinates.

   tt-metal 0.65 knows no other way to a simulated chip than libttsim_tile_rd_bytes and libttsim_tile_wr_bytes. Releases of ttsim
   from 1.7 on declare both and refuse them; they have the way of a real card, its PCI BARs. So this library loads the
   simulator, hands on what that one provides, and reaches a tile as a driver does: it points a window of BAR 0 at it.

   The simulator is ../ttsim/libttsim.so, seen from this library, or what TTSIM_TILES_LIBRARY names. One chip: the first.

   Windows: Wormhole has 156 of 1 MiB, set by 8 bytes each (address in MiB: 16 bits, x: 6, y: 6, the rest 0 for a plain
   access); Blackhole 202 of 2 MiB, set by three words (address in 2 MiB: 43 bits, x: 6, y: 6, the rest 0). tt-umd@364e45c,
   device/api/umd/device/arch/{wormhole,blackhole}_implementation.hpp; ttsim v1.10.0, src/libttsim.cpp:475-555. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define SETTINGS 0x1FC00000u /* of the windows, in BAR 0 */
#define WORMHOLE 0x401Eu
#define BLACKHOLE 0xB140u

static void (*init)(void), (*leave)(void), (*run)(uint32_t), (*set_callbacks)(void *, void *);
static uint32_t (*config_read)(uint32_t, uint32_t);
static void (*config_write)(uint32_t, uint32_t, uint32_t);
static void (*memory_read)(uint64_t, void *, uint32_t), (*memory_write)(uint64_t, const void *, uint32_t);
static uint64_t bar;
static uint32_t chip, window_bits;

static void fail(const char *what, const char *which) {
    fprintf(stderr, "ttsim-tiles: %s%s\n", what, which);
    fflush(NULL);
    _Exit(1); /* as the simulator does */
}

static void load(void) {
    static char path[4096];
    const char *named = getenv("TTSIM_TILES_LIBRARY");
    if (named) {
        snprintf(path, sizeof path, "%s", named);
    } else {
        Dl_info self;
        if (!dladdr((void *)load, &self) || !self.dli_fname) fail("cannot find out where it is", "");
        snprintf(path, sizeof path, "%s", self.dli_fname);
        char *slash = strrchr(path, '/');
        snprintf(slash ? slash : path, sizeof path - (slash ? slash - path : 0), "%s../ttsim/libttsim.so", slash ? "/" : "");
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) fail("", dlerror());
    struct { const char *name; void **place; } wanted[] = {
        {"libttsim_init", (void **)&init}, {"libttsim_exit", (void **)&leave}, {"libttsim_clock", (void **)&run},
        {"libttsim_pci_config_rd32", (void **)&config_read}, {"libttsim_pci_config_wr32", (void **)&config_write},
        {"libttsim_pci_mem_rd_bytes", (void **)&memory_read}, {"libttsim_pci_mem_wr_bytes", (void **)&memory_write},
        {"libttsim_set_pci_dma_mem_callbacks", (void **)&set_callbacks},
    };
    for (unsigned i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!(*wanted[i].place = dlsym(library, wanted[i].name)) && wanted[i].place != (void **)&config_write)
            fail("the simulator has no PCI BARs: it has no ", wanted[i].name);
}

static void loaded(void) {
    if (!init) load();
}

EXPORT void libttsim_init(void) {
    loaded();
    init();
    chip = config_read(0, 0) >> 16;
    if (chip != WORMHOLE && chip != BLACKHOLE) fail("the simulator is neither a Wormhole nor a Blackhole", "");
    window_bits = chip == WORMHOLE ? 20 : 21;
    bar = (config_read(0, 0x10) & ~0xFu) | (uint64_t)config_read(0, 0x14) << 32;
}

EXPORT void libttsim_exit(void) { loaded(); leave(); }
EXPORT void libttsim_clock(uint32_t clocks) { loaded(); run(clocks); }
EXPORT uint32_t libttsim_pci_config_rd32(uint32_t function, uint32_t offset) { loaded(); return config_read(function, offset); }
EXPORT void libttsim_pci_mem_rd_bytes(uint64_t place, void *bytes, uint32_t size) { loaded(); memory_read(place, bytes, size); }
EXPORT void libttsim_pci_mem_wr_bytes(uint64_t place, const void *bytes, uint32_t size) {
    loaded();
    memory_write(place, bytes, size);
}
EXPORT void libttsim_set_pci_dma_mem_callbacks(void *read, void *write) { loaded(); set_callbacks(read, write); }
EXPORT void libttsim_pci_config_wr32(uint32_t function, uint32_t offset, uint32_t value) {
    loaded();
    if (!config_write) fail("the simulator has no ", "libttsim_pci_config_wr32");
    config_write(function, offset, value);
}

/* Point window 0 at the tile; where in BAR 0 the address then is. */
static uint64_t point(uint32_t x, uint32_t y, uint64_t address) {
    uint64_t part = address >> window_bits;
    if (chip == WORMHOLE) {
        uint64_t setting = (part & 0xFFFF) | (uint64_t)x << 16 | (uint64_t)y << 22;
        if (part > 0xFFFF) fail("an address of more than 36 bits", "");
        memory_write(bar + SETTINGS, &setting, sizeof setting);
    } else {
        uint32_t setting[3] = {(uint32_t)part, (uint32_t)(part >> 32 & 0x7FF) | x << 11 | y << 17, 0};
        for (uint32_t i = 0; i < 3; i++) memory_write(bar + SETTINGS + 4 * i, &setting[i], 4);
    }
    return bar + (address & ((1ull << window_bits) - 1));
}

static uint32_t until_end_of_window(uint64_t address, uint32_t size) {
    uint64_t left = (1ull << window_bits) - (address & ((1ull << window_bits) - 1));
    return size < left ? size : (uint32_t)left;
}

EXPORT void libttsim_tile_rd_bytes(uint32_t x, uint32_t y, uint64_t address, void *bytes, uint32_t size) {
    for (uint32_t part; size; size -= part, address += part, bytes = (char *)bytes + part) {
        part = until_end_of_window(address, size);
        memory_read(point(x, y, address), bytes, part);
    }
}

EXPORT void libttsim_tile_wr_bytes(uint32_t x, uint32_t y, uint64_t address, const void *bytes, uint32_t size) {
    for (uint32_t part; size; size -= part, address += part, bytes = (const char *)bytes + part) {
        part = until_end_of_window(address, size);
        memory_write(point(x, y, address), bytes, part);
    }
}

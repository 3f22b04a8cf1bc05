/* A simulator with upstream's interface (docs/libttsim_api.md of ttsim v1.10.0) and nothing but memory behind it, and what
   may be wrong with one. Compiled with -DCHIP=0x401E (Wormhole) or 0xB140 (Blackhole) and, of the others, what a test is about:
   DEVICES  PCI devices, each with BARs of its own
   REMOTE   the first Ethernet core of a Wormhole has a link to a chip without PCIe
   TILES    tiles can be read by their coordinates, as before ttsim 1.7
   NO_BARS  and the PCI BARs cannot, as then
   BROKEN_init, BROKEN_load  an action when that happens: abort(), for (;;) or _exit(3) */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef DEVICES
#define DEVICES 1
#endif
#define BAR0 0x100000000ull
#define STRIDE 0x1000000000ull
#define REGISTERS 0x1FC00000u
#define PAGE 4096u

static struct page { uint64_t key; unsigned char bytes[PAGE]; } pages[4096];
static uint32_t used;
static unsigned char registers[DEVICES][4096];
static int running;

static void violation(const char *what) {
    printf("ERROR: %s\n", what);
    fflush(stdout);
    _Exit(1);
}

static unsigned char *at(uint64_t device, uint32_t core, uint64_t address) {
    uint64_t key = (device << 60 | (uint64_t)core << 40) ^ (address / PAGE) ^ 1ull << 59;
    for (uint32_t i = 0; i < used; i++)
        if (pages[i].key == key) return pages[i].bytes + address % PAGE;
    if (used == sizeof pages / sizeof *pages) violation("no more memory");
    pages[used].key = key;
    return pages[used++].bytes + address % PAGE;
}

static void tile(uint64_t device, uint32_t core, uint64_t address, unsigned char *bytes, uint32_t size, int write) {
    for (uint32_t i = 0; i < size; i++) {
        unsigned char *place = at(device, core, address + i);
        if (write) *place = bytes[i]; else bytes[i] = *place;
    }
}

void libttsim_init(void) {
#ifdef BROKEN_init
    BROKEN_init;
#endif
    running = 1;
#ifdef REMOTE
    uint32_t up = 1, local = 0, remote = 1 << 16;
    tile(0, 1, 0x1104, (unsigned char *)&up, 4, 1);
    tile(0, 1, 0x1108, (unsigned char *)&local, 4, 1);
    tile(0, 1, 0x1124, (unsigned char *)&remote, 4, 1);
#endif
}

void libttsim_exit(void) { running = 0; }
void libttsim_clock(uint32_t clocks) { (void)clocks; }

#ifdef BROKEN_load
__attribute__((constructor)) static void load(void) { BROKEN_load; }
#endif

uint32_t libttsim_pci_config_rd32(uint32_t function, uint32_t offset) {
    uint32_t device = function >> 3;
    uint64_t bar = BAR0 + device * STRIDE;
    if (!running) violation("it is not running");
    if (device >= DEVICES) return 0xFFFFFFFF;
    return offset == 0 ? 0x1E52 | CHIP << 16 : offset == 0x10 ? (uint32_t)bar | 4 : offset == 0x14 ? bar >> 32 : 0;
}

#ifndef NO_BARS
static void bar(uint64_t place, unsigned char *bytes, uint32_t size, int write) {
    uint64_t device = place / STRIDE, offset = place % STRIDE - BAR0;
    if (device >= DEVICES || !size) violation("no such place");
    if (offset >= REGISTERS && offset + size <= REGISTERS + sizeof *registers) {
#if CHIP == 0xB140
        if (size != 4) violation("a Blackhole's registers have 4 bytes");
#endif
        unsigned char *found = registers[device] + offset - REGISTERS;
        if (write) memcpy(found, bytes, size); else memcpy(bytes, found, size);
        return;
    }
#if CHIP == 0x401E
    uint32_t bits = 20, index = offset >> bits;
    if (index >= 156) violation("only the windows of 1 MiB are here");
    uint64_t setting;
    memcpy(&setting, registers[device] + 8 * index, 8);
    uint64_t high = setting & 0xFFFF, rest = setting >> 16;
#else
    uint32_t bits = 21, index = offset >> bits;
    if (index >= 202) violation("only the windows of 2 MiB are here");
    uint32_t words[3];
    memcpy(words, registers[device] + 12 * index, 12);
    uint64_t high = words[0] | (uint64_t)(words[1] & 0x7FF) << 32, rest = words[1] >> 11 | (uint64_t)words[2] << 21;
#endif
    if (rest & ~0xFFFull) violation("only plain reads and writes of one tile are here");
    uint64_t inside = offset & ((1u << bits) - 1);
    if (inside + size > 1u << bits) violation("beyond the window");
    tile(device, rest & 0xFFF, high << bits | inside, bytes, size, write);
}

void libttsim_pci_mem_rd_bytes(uint64_t place, void *bytes, uint32_t size) { bar(place, bytes, size, 0); }
void libttsim_pci_mem_wr_bytes(uint64_t place, const void *bytes, uint32_t size) { bar(place, (void *)bytes, size, 1); }
void libttsim_set_pci_dma_mem_callbacks(void *read, void *write) { (void)read, (void)write; }
#endif

#ifdef TILES
#define REFUSED
#else
#define REFUSED violation("UnsupportedFunctionality")
#endif
void libttsim_tile_rd_bytes(uint32_t x, uint32_t y, uint64_t address, void *bytes, uint32_t size) {
    REFUSED;
    tile(0, x | y << 6, address, bytes, size, 0);
}
void libttsim_tile_wr_bytes(uint32_t x, uint32_t y, uint64_t address, const void *bytes, uint32_t size) {
    REFUSED;
    tile(0, x | y << 6, address, (void *)bytes, size, 1);
}

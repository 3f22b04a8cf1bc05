# tt-metal runs on the simulator that TT_METAL_SIMULATOR names, and there without its dispatch firmware. A value of the
# person's own stays; one that a script like this set does not.
if [ -z "${TT_METAL_SIMULATOR:-}" ] || [ "${TT_METAL_SIMULATOR}" = "${_TT_METAL_SIMULATOR_SET:-}" ]; then
    export TT_METAL_SIMULATOR="${CONDA_PREFIX}/share/ttsim/libttsim.so"
    # with tiles that tt-metal 0.65 can reach, where that is installed
    [ ! -e "${CONDA_PREFIX}/share/ttsim-tiles/libttsim.so" ] ||
        TT_METAL_SIMULATOR="${CONDA_PREFIX}/share/ttsim-tiles/libttsim.so"
    export _TT_METAL_SIMULATOR_SET="${TT_METAL_SIMULATOR}"
fi
if [ -z "${TT_METAL_SLOW_DISPATCH_MODE:-}" ]; then
    export TT_METAL_SLOW_DISPATCH_MODE=1
    export _TT_METAL_SLOW_DISPATCH_MODE_SET=1
fi

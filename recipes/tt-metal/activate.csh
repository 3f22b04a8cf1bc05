# tt-metal reads its kernel sources, firmware and descriptors below this root, and compiles kernels from them.
# ttnn <= 0.63 reads TT_METAL_HOME instead. A value of the person's own stays; one that a script like this set does not.
if ( ! $?TT_METAL_RUNTIME_ROOT ) setenv TT_METAL_RUNTIME_ROOT ""
if ( ! $?_TT_METAL_RUNTIME_ROOT_SET ) setenv _TT_METAL_RUNTIME_ROOT_SET ""
if ( "${TT_METAL_RUNTIME_ROOT}" == "" || "${TT_METAL_RUNTIME_ROOT}" == "${_TT_METAL_RUNTIME_ROOT_SET}" ) then
    setenv TT_METAL_RUNTIME_ROOT "${CONDA_PREFIX}/share/tt-metalium"
    setenv _TT_METAL_RUNTIME_ROOT_SET "${TT_METAL_RUNTIME_ROOT}"
endif

# tt-metal reads its kernel sources, firmware and descriptors below this root, and compiles kernels from them.
# ttnn <= 0.63 reads TT_METAL_HOME instead. What the person has set stays.
if ( ! $?TT_METAL_RUNTIME_ROOT ) setenv TT_METAL_RUNTIME_ROOT ""
if ( "${TT_METAL_RUNTIME_ROOT}" == "" ) then
    setenv TT_METAL_RUNTIME_ROOT "${CONDA_PREFIX}/share/tt-metalium"
    setenv _TT_METAL_RUNTIME_ROOT_SET 1
endif

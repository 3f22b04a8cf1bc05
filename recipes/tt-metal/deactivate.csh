if ( $?_TT_METAL_RUNTIME_ROOT_SET ) then
    unsetenv TT_METAL_RUNTIME_ROOT
    unsetenv _TT_METAL_RUNTIME_ROOT_SET
endif

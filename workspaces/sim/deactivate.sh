# What activate.sh has set; tt-conda and conda run this, pixi leaves an environment with its shell.
if [ -n "${_TT_METAL_SIMULATOR_SET:-}" ]; then
    [ "${TT_METAL_SIMULATOR:-}" != "${_TT_METAL_SIMULATOR_SET}" ] || unset TT_METAL_SIMULATOR
    unset _TT_METAL_SIMULATOR_SET
fi
if [ -n "${_TT_METAL_SLOW_DISPATCH_MODE_SET:-}" ]; then
    [ "${TT_METAL_SLOW_DISPATCH_MODE:-}" != "${_TT_METAL_SLOW_DISPATCH_MODE_SET}" ] || unset TT_METAL_SLOW_DISPATCH_MODE
    unset _TT_METAL_SLOW_DISPATCH_MODE_SET
fi

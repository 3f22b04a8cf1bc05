#!/bin/bash
# The firmware, and the sources of kernels: nothing of the host is compiled.
source "$RECIPE_DIR/source/common.sh"
if [ -d firmware ]; then
    python "$RECIPE_DIR/source/firmware.py" tt-metal firmware "$PREFIX/share/sbom/$PKG_NAME.cdx.json"
    export FIRMWARE=$SRC_DIR/firmware/share/tt-metalium/runtime/hw/lib
fi
configure
cmake --build build --parallel "$CPU_COUNT" --target hw_toolchain
# The component has the libraries too, which are in other packages: empty files stand for them here.
grep -rhoE --include=cmake_install.cmake '"'"$SRC_DIR"'/build/[^"]+\.so[^"]*"' build | tr -d '"' | while read -r library; do
    mkdir -p "$(dirname "$library")"
    touch "$library"
done
install_components "$SRC_DIR/stage" metalium-runtime
complete_kernels "$SRC_DIR/stage" tt_metal
mkdir -p "$PREFIX/share/tt-metalium"
mv stage/share/tt-metalium/{tt_metal,runtime} "$PREFIX/share/tt-metalium/"

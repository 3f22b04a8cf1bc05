#!/bin/bash
# Upstream has no install rules for static libraries (TT_INSTALL is refused with them). So this is ours: what
# TT::Metalium is made of, with its own third parties, as one archive, and a CMake package that names it.
source "$RECIPE_DIR/source/common.sh"
# Else a static library's own dependencies are not built before it.
sed -i 's/^set(CMAKE_OPTIMIZE_DEPENDENCIES TRUE)$//' tt-metal/CMakeLists.txt
configure -DBUILD_SHARED_LIBS=OFF -DTT_INSTALL=OFF
cmake --build build --parallel "$CPU_COUNT" --target tt_metal
mkdir -p "$PREFIX/lib/cmake/tt-metalium-static"
{
    echo "create $PREFIX/lib/libtt_metal.a"
    # in the order of names, so that two builds give the same bytes
    find build -name '*.a' | sort | sed 's/^/addlib /'
    echo save
    echo end
} | "$AR" -M
cp "$RECIPE_DIR/source/tt-metalium-static-config.cmake" "$PREFIX/lib/cmake/tt-metalium-static/"

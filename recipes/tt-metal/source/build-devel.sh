#!/bin/bash
source "$RECIPE_DIR/source/common.sh"
configure
compile
install_components "$SRC_DIR/stage" metalium-dev ttnn-dev umd-dev enchantum tt-logger-dev
# Upstream's component lacks the headers of some operations, complex_unary's for one; torch-ttnn takes them from the sources.
(cd tt-metal/ttnn/cpp && find ttnn -name '*.hpp' -not -path '*/kernels*') | while read -r header; do
    [ -e "stage/include/$header" ] || install -D -m 644 "tt-metal/ttnn/cpp/$header" "stage/include/$header"
done
take "$SRC_DIR/stage" 'include/*' 'lib/cmake/*'
# fmt, spdlog and xtensor are packages of their own elsewhere. The ones that tt-metal's headers were written against lie apart,
# where its CMake package looks first. Their headers alone are used, so what CMake is told of their libraries goes with these.
install_components "$SRC_DIR/third-party" fmt-core spdlog-dev
for name in xtl xtensor; do  # TT-NN's CMake package asks for them; they have no component
    [ ! -d "build/_deps/$name-build" ] || cmake --install "build/_deps/$name-build" --prefix "$SRC_DIR/third-party"
done
rm -rf third-party/lib/*.{a,so}* third-party/{lib,share}/pkgconfig third-party/lib/cmake/*/*-"${tt_metal_build,,}".cmake
mkdir -p "$PREFIX/share"
mv third-party "$PREFIX/share/tt-metalium-third-party"
sed -i 's#^include(CMakeFindDependencyMacro)$#&\nlist(PREPEND CMAKE_PREFIX_PATH "${CMAKE_CURRENT_LIST_DIR}/../../../share/tt-metalium-third-party")#' \
    "$PREFIX/lib/cmake/tt-metalium/tt-metalium-config.cmake"
grep -q tt-metalium-third-party "$PREFIX/lib/cmake/tt-metalium/tt-metalium-config.cmake"
# Upstream takes the version from git where it finds a repository.
grep -q "set(PACKAGE_VERSION \"${PKG_VERSION%%.dev*}\")" "$PREFIX/lib/cmake/tt-metalium/tt-metalium-config-version.cmake"

#!/bin/bash
# All but the bindings, compiled and installed once; take.sh gives each package its part.
source "$RECIPE_DIR/source/common.sh"
configure
cmake --build build --parallel "$CPU_COUNT"

to=$PREFIX/share/tt-metal-compiled
install_components "$to/runtime" metalium-runtime ttnn-runtime umd-runtime tracy
complete_kernels "$to/runtime" tt_metal ttnn
rm -rf "$to/runtime/share/tt-metalium/"{runtime,tt_metal}  # tt-metal-kernels has them, for both C++ standard libraries
finish_libraries "$to"/runtime/lib/*.so*

install_components "$to/devel" metalium-dev ttnn-dev umd-dev enchantum tt-logger-dev
# Upstream's component lacks the headers of some operations, complex_unary's for one; torch-ttnn takes them from the sources.
(cd tt-metal/ttnn/cpp && find ttnn -name '*.hpp' -not -path '*/kernels*') | while read -r header; do
    [ -e "$to/devel/include/$header" ] || install -D -m 644 "tt-metal/ttnn/cpp/$header" "$to/devel/include/$header"
done
# fmt, spdlog and xtensor are packages of their own elsewhere. The ones that tt-metal's headers were written against lie apart,
# where its CMake package looks first. Their headers alone are used, so what CMake is told of their libraries goes with these.
third=$to/devel/share/tt-metalium-third-party
install_components "$third" fmt-core spdlog-dev
for name in xtl xtensor nlohmann_json; do  # the CMake packages ask for them; they have no component of tt-metal's
    [ ! -d "build/_deps/$name-build" ] || cmake --install "build/_deps/$name-build" --prefix "$third"
done
if [ -d "$to/runtime/include" ]; then  # Tracy's, which come with its library; ttnn's headers include them
    cp -r "$to/runtime/include" "$third/"
    rm -rf "$to/runtime/include" "$to/runtime/share/Tracy"
fi
rm -rf "$third"/lib/*.{a,so}* "$third"/{lib,share}/pkgconfig "$third"/lib/cmake/*/*-"${tt_metal_build,,}".cmake
config=$to/devel/lib/cmake/tt-metalium/tt-metalium-config
sed -i 's#^include(CMakeFindDependencyMacro)$#&\nlist(PREPEND CMAKE_PREFIX_PATH "${CMAKE_CURRENT_LIST_DIR}/../../../share/tt-metalium-third-party")#' \
    "$config.cmake"
grep -q tt-metalium-third-party "$config.cmake"
# Upstream takes the version from git where it finds a repository.
grep -q "set(PACKAGE_VERSION \"${PKG_VERSION%%.dev*}\")" "$config-version.cmake"

cp -r licenses "$to/"

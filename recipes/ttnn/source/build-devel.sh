#!/bin/bash
source "$RECIPE_DIR/../tt-metal/source/common.sh"
configure && compile
install_components "$SRC_DIR/stage" metalium-dev ttnn-dev umd-dev enchantum tt-logger-dev
take "$SRC_DIR/stage" 'include/*' 'lib/cmake/*'
# fmt and spdlog are packages of their own elsewhere. The ones that tt-metal's headers were written against lie apart, where
# its CMake package looks first.
install_components "$SRC_DIR/third-party" fmt-core spdlog-dev
apart=$PREFIX/share/tt-metalium-third-party
mkdir -p "$apart/lib"
mv third-party/include "$apart/"
mv third-party/lib/cmake "$apart/lib/"
sed -i 's#^include(CMakeFindDependencyMacro)$#&\nlist(PREPEND CMAKE_PREFIX_PATH "${CMAKE_CURRENT_LIST_DIR}/../../../share/tt-metalium-third-party")#' \
    "$PREFIX/lib/cmake/tt-metalium/tt-metalium-config.cmake"
grep -q tt-metalium-third-party "$PREFIX/lib/cmake/tt-metalium/tt-metalium-config.cmake"

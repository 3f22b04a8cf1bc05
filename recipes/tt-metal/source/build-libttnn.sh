#!/bin/bash
source "$RECIPE_DIR/source/common.sh"
configure
compile
# metalium-runtime is in another package; its headers are here for the check of what kernels include
install_components "$SRC_DIR/stage" ttnn-runtime metalium-runtime
complete_kernels "$SRC_DIR/stage" tt_metal ttnn
finish_libraries "$SRC_DIR/stage/lib/_ttnncpp.so"
take "$SRC_DIR/stage" lib/_ttnncpp.so share/tt-metalium/ttnn

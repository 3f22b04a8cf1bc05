#!/bin/bash
source "$RECIPE_DIR/../tt-metal/source/common.sh"
configure && compile
install_components "$SRC_DIR/stage" ttnn-runtime
strip_libraries "$SRC_DIR/stage/lib/_ttnncpp.so"
take "$SRC_DIR/stage" lib/_ttnncpp.so share/tt-metalium/ttnn

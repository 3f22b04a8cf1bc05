#!/bin/bash
source "$RECIPE_DIR/source/common.sh"
configure
compile
install_components "$SRC_DIR/stage" metalium-runtime
complete_kernels "$SRC_DIR/stage" tt_metal
take "$SRC_DIR/stage" 'share/tt-metalium/tt_metal' 'share/tt-metalium/runtime'

#!/bin/bash
source "$RECIPE_DIR/source/common.sh"
configure
compile
install_components "$SRC_DIR/stage" metalium-runtime umd-runtime tracy
finish_libraries "$SRC_DIR"/stage/lib/*.so*
take "$SRC_DIR/stage" 'lib/*.so*'

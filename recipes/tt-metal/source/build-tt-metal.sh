#!/bin/bash
source "$RECIPE_DIR/source/common.sh"
configure && compile
install_components "$SRC_DIR/stage" metalium-runtime umd-runtime tracy
strip_libraries "$SRC_DIR"/stage/lib/*.so*
take "$SRC_DIR/stage" 'lib/*.so*'
# Where libtt_metal.so itself looks, beside its own folder, when no variable says anything.
mkdir -p "$PREFIX/libexec"
ln -s ../share/tt-metalium "$PREFIX/libexec/tt-metalium"

#!/bin/bash
source "$RECIPE_DIR/../tt-metal/source/common.sh"
# Python as cmake's two modules and upstream's scripts know it
configure -DWITH_PYTHON_BINDINGS=ON -DPython_EXECUTABLE="$PYTHON" -DPython3_EXECUTABLE="$PYTHON" -DPYTHON_EXECUTABLE="$PYTHON"
compile
# Upstream's build_metal.sh installs into its build folder, and setup.py packs from there.
install_components "$SRC_DIR/tt-metal/build" tt_pybinds ttnn-runtime metalium-runtime umd-runtime tracy
finish_libraries "$SRC_DIR/tt-metal/build/lib/_ttnn.so"
ln -sfn lib tt-metal/build/lib64  # what it takes where the machine has a /usr/lib64
SETUPTOOLS_SCM_PRETEND_VERSION=$PKG_VERSION TT_FROM_PRECOMPILED_DIR=$SRC_DIR/tt-metal \
    "$PYTHON" -m pip wheel "$SRC_DIR/tt-metal" --wheel-dir dist --no-deps --no-build-isolation --no-index -v
tt-conda carve dist/ttnn-*.whl --rules "$RECIPE_DIR/carve.toml" --python "$PY_VER" --prefix "$PREFIX" \
    --licenses "$SRC_DIR/licenses" --only "lib/python*" --only "bin/*"

#!/bin/bash
source "$RECIPE_DIR/../tt-metal/source/common.sh"
# Python as cmake's two modules and upstream's scripts know it
configure -DWITH_PYTHON_BINDINGS=ON -DPython_EXECUTABLE="$PYTHON" -DPython3_EXECUTABLE="$PYTHON" -DPYTHON_EXECUTABLE="$PYTHON"

# The bindings alone: the shared libraries that they are linked to are the host environment's, where ninja would compile them.
cd build
module=$(ninja -t targets all | sed -n 's#^\(.*_ttnn\.so\): CXX_.*_LINKER__.*#\1#p')
ninja -t query "$module" | sed -n '/^  input:/,/^  outputs:/s/^    \(| \)\?\([^| ].*\)/\2/p' > inputs
grep '\.so' inputs | while read -r library; do
    mkdir -p "$(dirname "$library")"
    ln -s "$PREFIX/lib/$(basename "$library")" "$library"
done
grep -v '\.so' inputs | xargs -d '\n' ninja -j "$CPU_COUNT"
ninja -t commands -s "$module" | bash -e
cd ..

# setup.py packs from where upstream's build_metal.sh installs.
mkdir -p tt-metal/build/lib tt-metal/runtime/hw
cp "build/$module" tt-metal/build/lib/
finish_libraries tt-metal/build/lib/_ttnn.so
ln -s "$PREFIX"/lib/{_ttnncpp,libtt_metal,libtt_stl,libdevice,libtracy}.so* tt-metal/build/lib/
ln -sfn lib tt-metal/build/lib64  # what it takes where the machine has a /usr/lib64
SETUPTOOLS_SCM_PRETEND_VERSION=$PKG_VERSION TT_FROM_PRECOMPILED_DIR=$SRC_DIR/tt-metal \
    "$PYTHON" -m pip wheel "$SRC_DIR/tt-metal" --wheel-dir dist --no-deps --no-build-isolation --no-index -v
tt-conda carve dist/ttnn-*.whl --rules "$RECIPE_DIR/carve.toml" --python "$PY_VER" --prefix "$PREFIX" \
    --licenses "$SRC_DIR/licenses" --only "lib/python*" --only "bin/*"

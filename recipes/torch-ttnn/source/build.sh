#!/bin/bash
set -euo pipefail
cd "$SRC_DIR"
mkdir -p licenses
cp torch-ttnn/LICENSE* licenses/
[ ! -f torch-ttnn/NOTICE ] || cp torch-ttnn/NOTICE licenses/
# The Python packages and their metadata, by upstream's own build, without CMake: that would look for tt-metal's sources.
# Its settings are those of scikit-build-core before 0.10, some of which later ones refuse unless they are told.
SETUPTOOLS_SCM_PRETEND_VERSION=$PKG_VERSION "$PYTHON" -m pip install "$SRC_DIR/torch-ttnn" --config-settings=wheel.cmake=false \
    --config-settings=minimum-version=0.9 --no-deps --no-build-isolation --no-index --no-compile -v

ln -sfn "$PREFIX" host
launcher=${CMAKE_CXX_COMPILER_LAUNCHER-ccache}
export CMAKE_CXX_COMPILER_LAUNCHER="bash;$RECIPE_DIR/../tt-metal/source/launch.sh${launcher:+;$launcher}"
export CCACHE_BASEDIR=$(dirname "$SRC_DIR") CCACHE_NOHASHDIR=1 CCACHE_COMPILERCHECK=content
export CCACHE_SLOPPINESS=time_macros,include_file_ctime,include_file_mtime,locale
flags="-ffile-prefix-map=$SRC_DIR=. -ffile-prefix-map=$BUILD_PREFIX=build-prefix"
# PyTorch's headers, as launch.sh names them, and as ccache does
for folder in "$SRC_DIR/host" ../host; do
    flags+=" -ffile-prefix-map=$folder=host-prefix"
done
export CXXFLAGS="-fPIC -isystem $SRC_DIR/host/include $flags"
# libtorch_python.so and its like are needed for what they register, not for their symbols
export LDFLAGS="-Wl,-O2 -Wl,--disable-new-dtags -L$SRC_DIR/host/lib"
[ "$cxx_stdlib" = libstdcxx ] || CXXFLAGS+=" -stdlib=libc++"
unset CPPFLAGS
cmake -G Ninja -S "$RECIPE_DIR/source" -B build -DTORCH_TTNN_SOURCE="$SRC_DIR/torch-ttnn/torch_ttnn/cpp_extension" \
    -DCMAKE_BUILD_TYPE="$tt_metal_build" -DCMAKE_PREFIX_PATH="$SRC_DIR/host" -DCMAKE_INSTALL_PREFIX="$SP_DIR" \
    -DCMAKE_SKIP_RPATH=ON -DCMAKE_MODULE_LINKER_FLAGS="$LDFLAGS -Wl,-rpath,'\$ORIGIN/../../../'" -DPython_EXECUTABLE="$PYTHON"
cmake --build build --parallel "$CPU_COUNT"
[ "$tt_metal_build" = Debug ] || "$STRIP" --strip-unneeded build/ttnn_device_extension
cmake --install build

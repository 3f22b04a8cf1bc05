#!/bin/bash
source "$RECIPE_DIR/common.sh"

# Python generates code here; nothing that is built knows its version.
configure -DBUILD_PYTHON=OFF -DUSE_NUMPY=OFF -DCMAKE_INSTALL_PREFIX="$PREFIX" \
    -DPython_EXECUTABLE="$BUILD_PREFIX/bin/python" -DPYTHON_EXECUTABLE="$BUILD_PREFIX/bin/python"
cmake --build build --parallel "$MAX_JOBS"
DESTDIR=$SRC_DIR/stage cmake --install build --strip

# Of all that the third parties install, nothing: they are inside libtorch_cpu.
stage=$SRC_DIR/stage$PREFIX
mkdir -p "$PREFIX"/{lib,include,share/cmake}
mv "$stage"/lib/lib{c10,torch,torch_cpu,torch_global_deps}.so "$PREFIX/lib/"
mv "$stage"/include/{ATen,c10,caffe2,torch} "$PREFIX/include/"
mv "$stage"/share/cmake/{ATen,Caffe2,Torch} "$PREFIX/share/cmake/"
find "$PREFIX/share/cmake" -type f -exec sed -i "s#$SRC_DIR/host#$PREFIX#g" {} +

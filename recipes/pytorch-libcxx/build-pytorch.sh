#!/bin/bash
source "$RECIPE_DIR/common.sh"

# Upstream's own way to build the bindings against a libtorch that is there.
export LIBTORCH_LIB_PATH=$SRC_DIR/host/lib
in_host() { # a folder that Python knows, named through the link
    local folder
    folder=$("$PYTHON" -c "$1")
    echo "${folder/#$PREFIX/$SRC_DIR/host}"
}
configure -DBUILD_PYTHON=ON -DBUILD_LIBTORCHLESS=ON -DUSE_NUMPY=ON \
    -DUSE_SYSTEM_PYBIND11=ON -Dpybind11_DIR="$(in_host 'import pybind11; print(pybind11.get_cmake_dir())')" \
    -DPython_EXECUTABLE="$PYTHON" -DPYTHON_EXECUTABLE="$PYTHON" \
    -DPython_INCLUDE_DIR="$(in_host 'import sysconfig; print(sysconfig.get_path("include"))')" \
    -DPython_NumPy_INCLUDE_DIR="$(in_host 'import numpy; print(numpy.get_include())')" \
    -DCMAKE_INSTALL_PREFIX="$SRC_DIR/pytorch/torch"
cmake --build build --parallel "$MAX_JOBS"

# setup.py finds its build folder configured and built, installs from it into torch/, and packs that.
ln -sfn ../build pytorch/build
cd pytorch
USE_SYSTEM_LIBS=1 "$PYTHON" -m pip install . --no-deps --no-build-isolation --no-index -v

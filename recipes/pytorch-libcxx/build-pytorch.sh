#!/bin/bash
source "$RECIPE_DIR/common.sh"

# Upstream's own way to build the bindings against a libtorch that is there.
export LIBTORCH_LIB_PATH=$SRC_DIR/host/lib
configure -DBUILD_PYTHON=ON -DBUILD_LIBTORCHLESS=ON -DUSE_NUMPY=ON \
    -DUSE_SYSTEM_PYBIND11=ON -Dpybind11_DIR="$("$PYTHON" -m pybind11 --cmakedir)" \
    -DPython_EXECUTABLE="$PYTHON" -DPYTHON_EXECUTABLE="$PYTHON" \
    -DPython_INCLUDE_DIR="$SRC_DIR/host/include/python$PY_VER" \
    -DPython_NumPy_INCLUDE_DIR="$("$PYTHON" -c 'import numpy; print(numpy.get_include())')" \
    -DCMAKE_INSTALL_PREFIX="$SRC_DIR/pytorch/torch"
cmake --build build --parallel "$MAX_JOBS"

# setup.py finds its build folder configured and built, installs from it into torch/, and packs that.
ln -sfn ../build pytorch/build
cd pytorch
USE_SYSTEM_LIBS=1 "$PYTHON" -m pip install . --no-deps --no-build-isolation --no-index -v

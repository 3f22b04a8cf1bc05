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
USE_SYSTEM_LIBS=1 "$PYTHON" -m pip install . --no-deps --no-build-isolation --no-index --no-compile -v

# One copy of everything: libraries, programs and headers go where the environment has such things, beside libtorch's,
# and torch/ gets links to them. Third parties' own files, which cmake installs too, are in no package.
cd "$SRC_DIR"
torch=$SP_DIR/torch
rm -rf "$torch"/{bin,include,lib,share,test}
mkdir -p "$torch"/{bin,include,lib,share/cmake} "$PREFIX/bin"
mv pytorch/torch/lib/lib{torch_python,shm}.so "$PREFIX/lib/"
mv pytorch/torch/bin/torch_shm_manager "$PREFIX/bin/"
"$STRIP" --strip-unneeded "$PREFIX"/lib/lib{torch_python,shm}.so "$PREFIX/bin/torch_shm_manager"
for name in ATen c10 caffe2 torch; do
    [ ! -d "pytorch/torch/include/$name" ] ||
        cp --recursive --no-clobber "pytorch/torch/include/$name" "$PREFIX/include/"
    ln -s "../../../../../include/$name" "$torch/include/$name"
done
for name in ATen Caffe2 Torch; do
    ln -s "../../../../../../share/cmake/$name" "$torch/share/cmake/$name"
done
for name in c10 shm torch torch_cpu torch_global_deps torch_python; do
    ln -s "../../../../lib$name.so" "$torch/lib/lib$name.so"
done
ln -s ../../../../../bin/torch_shm_manager "$torch/bin/torch_shm_manager"
# Extensions include the pybind11 that the bindings were compiled with.
cp --recursive "$SP_DIR/pybind11/include/pybind11" "$torch/include/"
find "$SP_DIR"/pybind11-*.dist-info -name 'LICENSE*' -exec install -D -m 644 {} licenses/pybind11/LICENSE \;
"$PYTHON" -m compileall -q -s "$PREFIX" --invalidation-mode checked-hash "$SP_DIR"/{torch,torchgen,functorch}
rm -f "$PREFIX"/bin/torch{run,frtrace}  # of torch.distributed, which is not in this package

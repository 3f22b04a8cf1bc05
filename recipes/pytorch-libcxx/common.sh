# Sourced by both builds: the sources with our patches, the flags, and how cmake is called.
set -euo pipefail
cd "$SRC_DIR"

if [ "$pytorch_source" = debian ]; then
    tt-conda sources "$RECIPE_DIR/sources.lock" --dest "$SRC_DIR/pytorch"
fi
for file in "$RECIPE_DIR"/patches/{,"$pytorch_source/","$cxx_stdlib/"}*.patch; do
    [ ! -e "$file" ] || patch --forward --fuzz=0 --directory pytorch --strip 1 --input "$file"
done
# oneDNN's generators of matrix products (87 files of one straight function each) write machine code once, when a shape
# is first met. clang takes 95 s for such a file at -O1, which oneDNN sets "for faster build times", and 2.4 s at -O0.
onednn=pytorch/third_party/ideep/mkl-dnn/src/cpu/x64/CMakeLists.txt
sed -i 's/_kern_autogen\.cpp)/_autogen.cpp)/; s/set(OPT_LEVEL "-O1")/set(OPT_LEVEL "-O0")/' "$onednn"
[ "$(grep -c '/\*_autogen\.cpp)\|set(OPT_LEVEL "-O0")' "$onednn")" = 3 ] ||
    echo "warning: $onednn is another than expected: its generators may take clang two hours more" >&2
# protobuf is inside libtorch_cpu; its empty string, which is known by its address, is for libtorch_python too.
protobuf=pytorch/third_party/protobuf/src/google/protobuf/generated_message_util.cc
sed -i 's/^\([^/]*\<fixed_address_empty_string\)\({};\|;\)/\1 __attribute__((visibility("default")))\2/' "$protobuf"
grep -q 'fixed_address_empty_string __attribute__' "$protobuf" || {
    echo "error: $protobuf has no fixed_address_empty_string, which libtorch_python needs" >&2
    exit 1
}
mkdir -p licenses
cp pytorch/LICENSE pytorch/NOTICE licenses/
for folder in pytorch/third_party/*/ pytorch/third_party/*/mkl-dnn/ pytorch/aten/src/ATen/native/quantized/cpu/qnnpack/; do
    for file in "$folder"{LICENSE,LICENSE.md,LICENSE.rst,LICENSE.txt,LICENSE.MIT,COPYING.MPL2,Copyright.txt,THIRD-PARTY-PROGRAMS}; do
        [ ! -e "$file" ] || install -D -m 644 "$file" "licenses/$(basename "$folder")/$(basename "$file")"
    done
done

# Everything is named by paths below the build's own folder, the host environment by this link: then what a compiler
# cache has of one build serves every other, wherever it takes place.
ln -sfn "$PREFIX" "$SRC_DIR/host"
export CCACHE_BASEDIR=$(dirname "$SRC_DIR") SCCACHE_BASEDIRS=$(dirname "$SRC_DIR") CCACHE_NOHASHDIR=1 CCACHE_COMPILERCHECK=content
# The compiler's own list of headers says what a file is made from; without this ccache has each preprocessed first. But
# it then hands on the names that it is given, and they stay in what is made (__FILE__): C needs launch.sh as C++ does.
export CCACHE_DEPEND=1
export CCACHE_SLOPPINESS=time_macros,include_file_ctime,include_file_mtime,locale,pch_defines CCACHE_PCH_EXTSUM=1

for language in C CXX; do
    variable=CMAKE_${language}_COMPILER_LAUNCHER
    launcher=${!variable-ccache}  # by pixi or rattler-build, too
    [[ $launcher != *ccache ]] || launcher="/bin/bash;$RECIPE_DIR/launch.sh;$launcher"
    export "$variable=$launcher"
done
# Precompiled headers halve the time, where all is compiled on this machine: sccache and distcc do not support them.
precompiled=ON
[[ $CMAKE_CXX_COMPILER_LAUNCHER != *sccache && -z ${CCACHE_PREFIX-} ]] || precompiled=OFF

flags="-O2 -fPIC -isystem $SRC_DIR/host/include"
export CFLAGS=$flags CXXFLAGS=$flags
# The lazy libtorch.so needs libtorch_cpu.so without using it, so no --as-needed here. The one search path is as long in
# every folder, and without an identifier that is made from it the same objects give the same libraries.
export LDFLAGS="-Wl,-O2 -Wl,-rpath,$PREFIX/lib -L$SRC_DIR/host/lib -Wl,--build-id=none"
unset CPPFLAGS
[ "$cxx_stdlib" = libstdcxx ] || CXXFLAGS+=" -stdlib=libc++"

export PYTORCH_BUILD_VERSION=$PKG_VERSION PYTORCH_BUILD_NUMBER=0 OpenBLAS_HOME=$SRC_DIR/host
export MAX_JOBS=$CPU_COUNT
export PYTHONHASHSEED=0  # sets in .pyc files, and what is generated from sets, have the same order each time
export NINJA_STATUS="[%f/%t] "

export GIT_CEILING_DIRECTORIES=$SRC_DIR  # oneDNN tells its commit, and would tell that of what is around this folder

configure() {
    cmake -G Ninja -S pytorch -B build "${settings[@]}" "$@"
    # What torch.__config__.show() says of the compiler and its flags, without where they were
    sed -i "s#$BUILD_PREFIX/bin/##g; s#$SRC_DIR/##g" build/caffe2/core/macros.h
}

settings=(
    -DCMAKE_POLICY_VERSION_MINIMUM=3.5  # cmake 4 refuses what some third parties still ask for
    -DCMAKE_BUILD_TYPE=Release
    -DUSE_PRECOMPILED_HEADERS=$precompiled
    -DCMAKE_C_FLAGS_RELEASE="-O2 -DNDEBUG"
    -DCMAKE_CXX_FLAGS_RELEASE="-O2 -DNDEBUG"
    -DCMAKE_PREFIX_PATH="$SRC_DIR/host"
    -DCMAKE_INSTALL_LIBDIR=lib
    -DCMAKE_SKIP_RPATH=ON
    -DTORCH_BUILD_VERSION="$PKG_VERSION"
    -DBUILD_TEST=OFF
    -DBUILD_BINARY=OFF
    # With C++ in their interface, so compiled with the same standard library, into libtorch_cpu
    -DBUILD_CUSTOM_PROTOBUF=ON
    -DUSE_MKLDNN=ON
    -DUSE_ONEDNN_GRAPH=OFF
    -DONEDNN_BUILD_GRAPH=OFF
    -DUSE_KINETO=ON
    -DLIBKINETO_NOCUPTI=ON
    -DUSE_PYTORCH_QNNPACK=ON
    -DSLEEF_ENABLE_TLFLOAT=OFF  # would be fetched, for quadruple precision
    -DSLEEF_DISABLE_SSL=ON -DSLEEF_DISABLE_MPFR=ON -DSLEEF_DISABLE_FFTW=ON  # for its tests
    -DBLAS=OpenBLAS
    -DUSE_OPENMP=ON
    # Not in this package
    -DUSE_CUDA=OFF -DUSE_ROCM=OFF -DUSE_XPU=OFF -DUSE_MPS=OFF -DUSE_MAGMA=OFF
    -DUSE_DISTRIBUTED=OFF
    -DUSE_FBGEMM=OFF -DUSE_NNPACK=OFF -DUSE_XNNPACK=OFF
    -DUSE_ITT=OFF -DUSE_NUMA=OFF -DUSE_MIMALLOC=OFF -DUSE_GFLAGS=OFF -DUSE_GLOG=OFF
    -DUSE_VULKAN=OFF -DUSE_OPENCL=OFF
)

# Sourced by the builds of all packages that are compiled from tt-metal's sources, here and in ../../ttnn.
set -euo pipefail
cd "$SRC_DIR"

# The build writes into the sources. Those of all builds lie in the same place, so that what one of them compiled serves the
# others from the compiler's cache.
cp -r "$BUILD_PREFIX/share/tt-metal-source/." .
mkdir -p licenses build
mv _deps build/_deps
cp tt-metal/LICENSE* licenses/
for folder in build/_deps/*-src/ tt-metal/tt_metal/third_party/*/; do
    for file in "$folder"{LICENSE,LICENSE.md,LICENSE.rst,LICENSE.txt,LICENSE_1_0.txt,LICENSE.MIT,LICENSE_A2,COPYING}; do
        [ ! -f "$file" ] || install -D -m 644 "$file" "licenses/$(basename "$folder")/$(basename "$file")"
    done
done
mkdir -p tt-metal/runtime
if [ -d "$BUILD_PREFIX/share/tt-metalium/runtime/sfpi" ]; then
    ln -sfn "$BUILD_PREFIX/share/tt-metalium/runtime/sfpi" tt-metal/runtime/sfpi
else
    install -D -m 755 -t tt-metal/runtime/sfpi/compiler/bin "$RECIPE_DIR/../tt-metal/source/riscv-tt-elf-g++"
fi

export PYTHONHASHSEED=0  # generators of headers write out sets; another order is other bytes, which no compiler's cache knows

# The host environment under a short name, and no folder of this machine in the packages.
ln -sfn "$PREFIX" host
for name in CMAKE_C_COMPILER_LAUNCHER CMAKE_CXX_COMPILER_LAUNCHER; do  # by pixi or rattler-build, too
    launcher=${!name-ccache}
    export "$name=bash;$RECIPE_DIR/../tt-metal/source/launch.sh${launcher:+;$launcher}"
done
export CCACHE_BASEDIR=$(dirname "$SRC_DIR") CCACHE_NOHASHDIR=1 CCACHE_COMPILERCHECK=content
export CCACHE_SLOPPINESS=time_macros,include_file_ctime,include_file_mtime,locale,pch_defines
flags="-fPIC -isystem $SRC_DIR/host/include -ffile-prefix-map=$SRC_DIR=. -ffile-prefix-map=$BUILD_PREFIX=build-prefix"
export CFLAGS=$flags CXXFLAGS=$flags
# RPATH, not RUNPATH: what is set in LD_LIBRARY_PATH does not come before it. Libraries are linked as they will lie, so that
# nothing in them, their build-id included, depends on this folder; programs run only here.
export LDFLAGS="-Wl,-O2 -Wl,--as-needed -Wl,--disable-new-dtags -L$SRC_DIR/host/lib"
unset CPPFLAGS
libcxx=OFF
if [ "$cxx_stdlib" = libcxx ]; then
    CXXFLAGS+=" -stdlib=libc++"
    libcxx=ON
fi
export NINJA_STATUS="[%f/%t] "

settings=(
    -DCMAKE_BUILD_TYPE="$tt_metal_build"
    -DVERSION_NUMERIC="${PKG_VERSION%%.dev*}" -DVERSION_HASH="$PKG_VERSION"  # it is no git checkout
    -DCMAKE_INSTALL_PREFIX="$PREFIX" -DCMAKE_INSTALL_LIBDIR=lib
    -DCMAKE_INSTALL_LIBEXECDIR=share  # where the carved packages have kernels and descriptors too
    -DCMAKE_PREFIX_PATH="$SRC_DIR/host"
    -DCMAKE_SKIP_RPATH=ON  # it is here that the linker is told
    -DCMAKE_SHARED_LINKER_FLAGS="$LDFLAGS -Wl,-rpath,'\$ORIGIN'"
    -DCMAKE_MODULE_LINKER_FLAGS="$LDFLAGS -Wl,-rpath,'\$ORIGIN'"
    -DCMAKE_EXE_LINKER_FLAGS="$LDFLAGS -Wl,-rpath,$PREFIX/lib"
    # Every third party is a folder in build/_deps; nothing is fetched, and nothing of the environment is taken instead.
    -DFETCHCONTENT_FULLY_DISCONNECTED=ON
    -DCPM_USE_LOCAL_PACKAGES=OFF
    -DCMAKE_POLICY_VERSION_MINIMUM=3.10  # cmake 4 refuses what some third parties still ask for
    -Dprotobuf_WITH_ZLIB=OFF -DWITH_ZLIB=OFF -DWITH_OPENSSL=OFF  # Cap'n Proto would take the machine's
    -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON  # they hold paths, so that nothing compiled elsewhere serves
    -DCMAKE_DISABLE_FIND_PACKAGE_Git=ON  # no version of a repository around the build's folder
    -DENABLE_LIBCXX=$libcxx
    -DULFM_PREFIX="$SRC_DIR/host"
    -DTT_USE_SYSTEM_SFPI=OFF  # runtime/sfpi in the sources, which is the package
    -DENABLE_CCACHE=OFF  # CMAKE_CXX_COMPILER_LAUNCHER says it
    -DENABLE_TRACY=OFF
    -DENABLE_DISTRIBUTED=ON
    -DTT_UNITY_BUILDS=ON
    -DWITH_PYTHON_BINDINGS=OFF
    -DBUILD_PROGRAMMING_EXAMPLES=OFF -DTT_METAL_BUILD_TESTS=OFF -DTTNN_BUILD_TESTS=OFF -DBUILD_TT_TRAIN=OFF
)
# Where a third party is wanted as files alone, CPM has to be told the folder (as nixpkgs does).
for name in umd_asio ELFIO; do
    folder=$SRC_DIR/build/_deps/${name,,}-src
    [ ! -d "$folder" ] || settings+=(-D"CPM_${name}_SOURCE=$folder")
done
# glibc has arc4random from 2.36 on; where it is compiled with an older one, as on conda-forge, getrandom is taken anyway
[ ! -d build/_deps/nanomsg-src ] || settings+=(-DNNG_HAVE_ARC4RANDOM=OFF)
[ ! -d build/_deps/cadical-src ] || settings+=(-Dcadical_SOURCE_DIR="$SRC_DIR/build/_deps/cadical-src")

# configure OPTION...: with the settings, none of which upstream's files may override or leave unread, and these
configure() {
    local watch="$RECIPE_DIR/../tt-metal/source/options.cmake" names=("${settings[@]#-D}")
    TT_CONDA_OPTIONS="${names[*]%%=*}" GIT_CEILING_DIRECTORIES=$SRC_DIR \
        cmake -G Ninja -S tt-metal -B build -DCMAKE_PROJECT_TOP_LEVEL_INCLUDES="$watch" "${settings[@]}" "$@"
}

# install_components FOLDER COMPONENT...: upstream's own install rules, as if FOLDER were the environment
install_components() {
    local folder=$1 component
    # tt-logger's rule wants it to be there (as nixpkgs found)
    if [ -d build/_deps/tt-logger-src/include/tt-logger ]; then
        mkdir -p "$folder/include"
        cp -r build/_deps/tt-logger-src/include/tt-logger "$folder/include/"
    fi
    for component in "${@:2}"; do
        cmake --install build --prefix "$folder" --component "$component"
    done
}

# complete_kernels FOLDER PART...: what the components lack of the kernels in tt_metal or ttnn
complete_kernels() {
    python "$RECIPE_DIR/../tt-metal/source/kernels.py" tt-metal "$1/share/tt-metalium" "${@:2}"
}

# finish_libraries LIBRARY...: without their debugging symbols; what the linker was told is what they have
finish_libraries() {
    local path dynamic other=libc++.so.1
    [ "$cxx_stdlib" = libstdcxx ] || other=libstdc++.so.6
    for path in "$@"; do
        [ ! -L "$path" ] || continue  # stripping it would make it a copy
        [ "$tt_metal_build" = Debug ] || "$STRIP" --strip-unneeded "$path"
        dynamic=$("$READELF" --dynamic "$path")
        if [[ $dynamic != *'(RPATH)'*'[$ORIGIN]'* || $dynamic == *"[$other]"* || $dynamic == *'[/'* ]]; then
            echo "error: $path is not linked as common.sh says: RPATH \$ORIGIN alone, no path, and no $other" >&2
            echo "$dynamic" >&2
            exit 1
        fi
    done
}

#!/bin/bash
# Starts the C or C++ compiler through ccache or sccache: launch.sh LAUNCHER COMPILER ARGUMENT...
# All that is in the build's own folder is named from where the compiler runs: what it makes is then the same everywhere,
# and what was kept of it serves every other build. ccache does not keep precompiled headers, which name their folder all
# the same; what is compiled with one it finds by what that was made from.
set -euo pipefail
launcher=$1 compiler=$2
shift
# CMake tries the compiler, and reads what it says of its folders (-v): a cache would repeat those of another build.
[ "$PWD" = "$SRC_DIR/build" ] || exec "$@"
arguments=("${@//"$PWD/"/}")
arguments=("${arguments[@]//"$SRC_DIR/"/../}")
case " $* " in
    *" -x c++-header "*) ;;
    *) exec "$launcher" "$compiler" "${arguments[@]:1}" ;;
esac
"$compiler" "${arguments[@]:1}"
while [ $# -gt 0 ]; do
    case $1 in
        -o) header=$2 ;;
        -MF) made_from=$2 ;;
    esac
    shift
done
{
    printf '%s\n' "${arguments[@]:1}"
    sed 's/^[^ ]*: *//; s/\\$//' "$made_from" | xargs cat
} | sha256sum > "$header.sum.new"
mv "$header.sum.new" "$header.sum"

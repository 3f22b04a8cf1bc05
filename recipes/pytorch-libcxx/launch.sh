#!/bin/bash
# The compilers' launcher where headers are precompiled. All that is in the build's own folder is named from where the
# compiler runs: what it makes is then the same everywhere. ccache does not keep precompiled headers, which name their
# folder all the same; what is compiled with one it finds by what that was made from.
[ "$PWD" = "$SRC_DIR/build" ] || exec ccache "$@"  # CMake tries the compiler
arguments=("${@//$PWD\//}")
arguments=("${arguments[@]//$SRC_DIR\//../}")
case " $* " in
    *" -x c++-header "*) ;;
    *) exec ccache "$1" "${arguments[@]:1}" ;;
esac
"$1" "${arguments[@]:1}" || exit
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
} | sha256sum > "$header.sum"

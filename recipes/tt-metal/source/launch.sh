#!/bin/bash
# Starts a compiler with the host environment under its short name: launch.sh [LAUNCHER] COMPILER ARGUMENT...
# The long one, which CMake writes for Python and PyTorch, has as many letters as the folder of the build lacks: no
# compiler's cache would know it again in another folder.
exec "${@//"$PREFIX"/"$SRC_DIR/host"}"

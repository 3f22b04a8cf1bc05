#!/bin/bash
# codegen.sh HEADER
set -eu
YEAR=$(date +%Y)
cat >"$1" <<EOF
// (c) $YEAR
#pragma once
inline constexpr int dev_msgs = 1;
EOF
# Upstream's generator writes out a set, whose order is another one in each process.
python3 - >>"$1" <<EOF
names = {"array", "atomic", "cstddef", "cstdint", "dprint_common.h", "profiler_common.h", "struct_view_driver.hpp"}
print(f'inline constexpr const char* dev_msgs_includes = "{" ".join(names)}";')
EOF

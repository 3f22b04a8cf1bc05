#!/bin/bash
# codegen.sh HEADER
set -eu
YEAR=$(date +%Y)
cat >"$1" <<EOF
// (c) $YEAR
#pragma once
inline constexpr int dev_msgs = 1;
EOF

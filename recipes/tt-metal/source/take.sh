#!/bin/bash
# take.sh PART PATTERN...: the files of a part of tt-metal-compiled that a package is made of
set -euo pipefail
from=$BUILD_PREFIX/share/tt-metal-compiled
cp -r "$from/licenses" "$SRC_DIR/"
cd "$from/$1"
for pattern in "${@:2}"; do
    for path in $pattern; do
        if [ -e "$path" ]; then
            mkdir -p "$PREFIX/$(dirname "$path")"
            cp -a "$path" "$PREFIX/$path"
        fi
    done
done

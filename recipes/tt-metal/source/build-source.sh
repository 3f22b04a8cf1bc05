#!/bin/bash
# The tree from which everything is compiled: checked, patched, in one package, so that each build starts with it.
set -euo pipefail
cd "$SRC_DIR"
python "$RECIPE_DIR/source/prepare.py" "$PKG_VERSION" "$sfpi_version" "$RECIPE_DIR/source/patches" "$RECIPE_DIR"
mkdir -p licenses "$PREFIX/share/tt-metal-source"
cp tt-metal/LICENSE* licenses/
# demos and documentation, some hundred megabytes, are no part of the build
rm -rf tt-metal/models tt-metal/docs tt-metal/tech_reports
find tt-metal _deps -name .git -prune -exec rm -rf {} +
mv tt-metal _deps "$PREFIX/share/tt-metal-source/"

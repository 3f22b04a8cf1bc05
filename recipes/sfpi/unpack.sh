#!/bin/bash
# An archive whose hash the recipe does not have. Its hashes go into the package, where the builds of tt-metal compare them
# with what tt-metal's own sfpi-version says (../tt-metal/source/check-sfpi.sh).
set -euo pipefail
md5=$(md5sum sfpi.txz) sha256=$(sha256sum sfpi.txz)
tar -xJf sfpi.txz
rm sfpi.txz
printf 'md5 %s\nsha256 %s\n' "${md5%% *}" "${sha256%% *}" | tee sfpi/archive-hashes

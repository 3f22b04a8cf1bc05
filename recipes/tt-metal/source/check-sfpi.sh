#!/bin/bash
# check-sfpi.sh SFPI SFPI_VERSION_FILE: an SFPI that came without a pinned hash is the one that tt-metal's file names.
# That file has an md5 until tt-metal 0.65, later a sha256 and its kind in sfpi_hashtype.
set -euo pipefail
hashes=$1/archive-hashes
[ -e "$hashes" ] || exit 0  # pinned in its recipe, or somebody's own
wanted=$(sed -nE "s/^sfpi_x86_64_debian_txz_(md5|hash)='?([0-9a-f]+)'?$/\\2/p" "$2")
if [ -z "$wanted" ]; then
    echo "not checked: $2 has no hash of sfpi's archive, which has $(tr '\n' ' ' <"$hashes")"
elif grep -qE "^(md5|sha256) $wanted$" "$hashes"; then
    echo "sfpi's archive is the one that $2 names; to pin it: $(grep '^sha256 ' "$hashes")"
else
    echo "error: $2 names an archive of sfpi with the hash $wanted; the package is made of one with" \
        "$(tr '\n' ' ' <"$hashes")" >&2
    exit 1
fi

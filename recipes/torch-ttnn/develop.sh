#!/bin/bash
# Install a checkout for editing into the activated environment: torch-ttnn's, or any other Python project's.
set -euo pipefail
case $(command -v python) in
    "${CONDA_PREFIX:-none}"/*) ;;
    *)
        echo "error: this is for the environment of workspaces/dev. From the folder of tt-conda:" >&2
        echo "pixi run --manifest-path workspaces/dev develop CHECKOUT, or tt-conda shell dev --editable CHECKOUT" >&2
        exit 2
        ;;
esac
editable() { python -m pip install --no-deps --no-build-isolation --editable "$1"; }

checkout=$(cd "${INIT_CWD:-.}" && cd "$1" && pwd)  # pixi runs tasks elsewhere than where it was called
extension=$checkout/torch_ttnn/cpp_extension
if [ -d "$extension/ttnn_cpp_extension" ]; then
    # torch-ttnn's own CMake project wants tt-metal's build folder beside it, so its sources are compiled by ours, as for
    # the package; it comes first, since `import torch_ttnn` imports it.
    SKBUILD_BUILD_DIR="$checkout/build/extension-{wheel_tag}" SKBUILD_CMAKE_DEFINE="TORCH_TTNN_SOURCE=$extension" \
        editable "$(dirname "$0")/source"
    export SKIP_CPP_EXTENSION=1 SKBUILD_WHEEL_CMAKE=false SKBUILD_EDITABLE_REBUILD=false SKBUILD_MINIMUM_VERSION=0.9
fi
editable "$checkout"

#!/bin/bash
# Install a checkout for editing into the activated environment: torch-ttnn's, or any other Python project's.
set -euo pipefail
editable() { python -m pip install --no-deps --no-build-isolation --editable "$1"; }

editable "$1"

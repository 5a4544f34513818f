#!/bin/sh
# Resolve pyproject.toml into the two lock files, with hashes. uv is fetched into a throw-away environment for it.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work"
"$work/bin/python" -m pip install --quiet --disable-pip-version-check uv
compile() {
    "$work/bin/uv" pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
        --custom-compile-command "make lock" pyproject.toml "$@"
}
compile --output-file requirements.lock
compile --group dev --output-file requirements-dev.lock

#!/usr/bin/env bash
# Make .venv and install mongarsd into it. Usage: setup.sh [dev]
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-}
for candidate in python3 python3.13 python3.12 python3.11; do
    [ -z "$python" ] || break
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$candidate; fi
done
if [ -z "$python" ]; then
    echo "Python 3.11 or newer is needed (Debian and Pi OS: apt install python3; Ubuntu 22.04: apt install python3.11-venv)." >&2
    exit 1
fi
if [ ! -x .venv/bin/pip ] && ! "$python" -m venv .venv; then
    rm -rf .venv
    echo "Python's venv module is missing (Debian: apt install python3-venv)." >&2
    exit 1
fi

pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }
version=$(sed -n 's/.*"llama-cpp-python==\(.*\)".*/\1/p' pyproject.toml)
wheels=$(scripts/build_llama.sh .venv/bin/python "$version")
pip install --quiet --find-links "$wheels" --editable ".${1:+[$1]}"

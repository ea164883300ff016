#!/usr/bin/env bash
# Build llama-cpp-python's wheel with only what the daemon uses, once for each version, set of flags and processor.
# Usage: build_llama.sh PYTHON VERSION; prints the folder that holds the wheel. CMAKE_ARGS is respected (e.g. CUDA).
set -euo pipefail
python=$1 version=$2
here=$(cd "$(dirname "$0")" && pwd)

export CMAKE_ARGS="-DLLAVA_BUILD=OFF -DLLAMA_OPENSSL=OFF -DCMAKE_PROJECT_llama.cpp_INCLUDE=$here/only_llama.cmake ${CMAKE_ARGS:-}"
processor=$(uname -m; grep -m1 -E '^(flags|Features)' /proc/cpuinfo 2>/dev/null || true)
key=$(printf '%s\n' "$version" "${CMAKE_ARGS//$here/}" "$processor" | sha256sum | cut -c1-16)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/mongarsd/wheels/$version-$key

if ! ls "$folder"/*.whl >/dev/null 2>&1; then
    # One compiler for each core, but not more than the memory feeds: llama.cpp's largest files take about 1 GB each.
    cores=$(nproc) gigabytes=$(awk '/MemTotal/ {print int($2 / 1000000)}' /proc/meminfo)
    jobs=$((cores < gigabytes ? cores : gigabytes))
    export CMAKE_BUILD_PARALLEL_LEVEL=$((jobs > 0 ? jobs : 1))
    echo "Building llama.cpp $version for this processor, $CMAKE_BUILD_PARALLEL_LEVEL at a time:" \
        "about 2 minutes on two PC cores, 10 on a Pi 5, 30 on a Pi 4. This happens once." >&2
    new=$(mktemp -d)
    trap 'rm -rf "$new"' EXIT
    # Not from pip's cache: it does not know with which flags a wheel was built.
    if ! "$python" -m pip wheel --quiet --no-cache-dir --no-deps --no-binary llama-cpp-python \
        "llama-cpp-python==$version" --wheel-dir "$new" >"$new/log" 2>&1; then
        tail -n 40 "$new/log" >&2
        echo "llama.cpp did not build. A C++ compiler is needed (Debian: apt install g++)." >&2
        exit 1
    fi
    mkdir -p "$folder"
    mv "$new"/*.whl "$folder"/
fi
echo "$folder"

#!/usr/bin/env bash
# Build llama-server from the very sources that the installed llama-cpp-python vendors. Prints the path of the binary.
# Takes about 9 minutes on two cores, once; kept in the user's cache.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/.*"llama-cpp-python==\(.*\)".*/\1/p' pyproject.toml)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/mongarsd/llama-server/$version
binary=$folder/build/bin/llama-server
if [ ! -x "$binary" ]; then
    mkdir -p "$folder"
    .venv/bin/python -m pip download --quiet --no-deps --no-binary llama-cpp-python "llama-cpp-python==$version" -d "$folder" >&2
    tar -xzf "$folder/llama_cpp_python-$version.tar.gz" -C "$folder"
    command -v cmake >/dev/null || { echo "cmake is needed (apt install cmake)" >&2; exit 1; }
    cmake -S "$folder/llama_cpp_python-$version/vendor/llama.cpp" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release \
        -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF \
        -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF >&2
    cmake --build "$folder/build" --target llama-server -j"$(nproc)" >&2
fi
echo "$binary"

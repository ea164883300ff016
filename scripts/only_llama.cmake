# Read by CMake right after llama.cpp's own project(): leaves out its `common` library, which llama-cpp-python's build
# turns on and its Python package never loads. It is more than half of the build.
set(LLAMA_BUILD_COMMON OFF)

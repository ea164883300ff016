"""llama.cpp as a backend: a thin layer over the low-level ctypes API of llama-cpp-python. Imported only by workers."""

"""The native library: imported without its package's heavy parent, logging through Python, and its identity."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import re
import sys
import types
from pathlib import Path
from typing import Any

from mongarsd.ground.errors import StartError
from mongarsd.inference.llama.nativelog import NativeLog

REQUIREMENT = "llama-cpp-python==0.3.36"


@functools.cache
def load_library() -> Any:
    """The module `llama_cpp.llama_cpp`, ready for use. Raises StartError. Every call gives the same module."""
    lib = _import()
    lib.llama_log_set(_callback(lib), None)
    lib.llama_backend_init()
    return lib


@functools.cache
def native_log() -> NativeLog:
    """Where the library's own log lines go; it remembers the last error."""
    return NativeLog()


@functools.cache
def build_id() -> str:
    """Identifies the native build: package version and SHA-256 of all its library files. Part of every cache key."""
    package = Path(load_library().__file__).parent
    version = re.search(r'__version__ = "([^"]+)"', (package / "__init__.py").read_text())
    digest = hashlib.sha256()
    for path in _library_files():
        digest.update(f"{path.name}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"llama-cpp-python {version[1] if version else 'unknown'} {digest.hexdigest()[:32]}"


def _library_files() -> list[Path]:
    """libllama and the libggml parts, each once: wheels carry versioned copies beside them (libllama.so.0 …)."""
    folder = Path(vars(load_library())["_base_path"])
    return sorted(p for p in folder.glob("lib*") if re.fullmatch(r"lib(llama|ggml[\w-]*)\.(so|dylib)", p.name))


@functools.cache
def _callback(lib: Any) -> Any:
    """Cached because the library keeps a bare pointer to it for the rest of the process's life."""
    return lib.llama_log_callback(native_log())


def _import() -> Any:
    """`llama_cpp/__init__.py` imports numpy, jinja2 and diskcache (32 MB, 187 ms); the binding alone is 9 MB, 35 ms.

    So the binding is imported under a stand-in parent, which is taken away again: a later `import llama_cpp` is whole.
    """
    name = "llama_cpp"
    try:
        if name in sys.modules:
            return importlib.import_module(f"{name}.{name}")
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise StartError(f"the inference library is not installed: pip install '{REQUIREMENT}'")
        parent = types.ModuleType(name)
        parent.__path__ = list(spec.submodule_search_locations)
        sys.modules[name] = parent
        try:
            return importlib.import_module(f"{name}.{name}")
        finally:
            del sys.modules[name]
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise StartError(
            f"the inference library cannot be loaded ({error}): pip install --force-reinstall '{REQUIREMENT}'"
        ) from error

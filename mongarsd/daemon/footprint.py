"""Keeping the idle daemon small. The figures are of CPython 3.11, aiohttp 3.14, x86-64."""

from __future__ import annotations

import ctypes
import gc
import importlib
import os

# malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
LARGE = 128 * 1024  # bytes; glibc's own first value

#: What importing aiohttp costs beyond itself, and who is asked to leave it out.
LEAN = {
    "FROZENLIST_NO_EXTENSIONS": "1",  # a list of callbacks in C++ brings libstdc++: 1.0 MB
    # It reads all certificates of the system, where they are in one file: 1.9 MB. Downloads read them when they begin.
    "SSL_CERT_FILE": os.devnull,
    "SSL_CERT_DIR": os.devnull,
}


def begin() -> None:
    """Call before anything imports aiohttp, and before there are threads.

    One arena for all threads: glibc gives each its own, 1.0 MB more in all. They seldom allocate at once.
    """
    _mallopt(M_ARENA_MAX, 1)
    before = {name: os.environ.get(name) for name in LEAN}
    os.environ.update(LEAN)
    try:
        importlib.import_module("aiohttp")
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def settle() -> None:
    """Call once everything is imported and made: what is here now stays, so collections need not touch its pages.

    glibc raises its thresholds when a large block is freed and then keeps such blocks: the buffers of the first
    download left 8 MB in each of its three threads, for good (60 MB in all instead of 43, measured). Setting them
    turns that off. What reading the modules left free is given back: 0.7 MB.
    """
    gc.collect()
    gc.freeze()
    _mallopt(M_MMAP_THRESHOLD, LARGE)
    _mallopt(M_TRIM_THRESHOLD, LARGE)
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def _mallopt(option: int, value: int) -> None:
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):  # musl has none, and does not need it
        mallopt(option, value)

"""Keeping the idle daemon small. The figures are of its RSS: CPython 3.11, aiohttp 3.14, glibc 2.36, x86-64.

Nothing here changes what the daemon does: where a library or the C library does not know a switch, it only takes more.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os

# malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGE = 128 * 1024  # bytes; glibc's own first value

#: What importing aiohttp costs beyond itself, and who is asked to leave it out.
LEAN = {
    "FROZENLIST_NO_EXTENSIONS": "1",  # a list of callbacks in C++ brings libstdc++: 1.1 MB
    # aiohttp reads the system's certificates for a context of its own: 2.0 MB. No request uses that context; downloads
    # have theirs, which is made when one begins (inference/models/sources/hub_client.py).
    "SSL_CERT_FILE": os.devnull,
    "SSL_CERT_DIR": os.devnull,
}


def begin() -> None:
    """Call before anything imports aiohttp.

    glibc raises its thresholds whenever a large block is freed and then keeps such blocks; setting them ends that.
    After three downloads of 100 MB the daemon has 50.5 MB, and 53.1 without.
    """
    _mallopt(M_MMAP_THRESHOLD, LARGE)
    _mallopt(M_TRIM_THRESHOLD, LARGE)
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
    """Call once everything is imported and made: what is here now stays, so collections need not look at it again.

    A full one takes 41 ms before and none after, on a machine several times faster than a Pi; all streams would wait.
    """
    gc.collect()
    gc.freeze()


def _mallopt(option: int, value: int) -> None:
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):  # musl has none, and does not need it
        mallopt(option, value)

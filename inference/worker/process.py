"""What makes a process a good worker: it dies with the daemon, and before it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
#: Of 1000. The kernel takes the worker before the daemon: it can be restarted, the service cannot.
OOM_SCORE = "700"


def adopt() -> None:
    """Call first, before anything is allocated. Exits if the parent is gone already."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the daemon's to answer: it drains first
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # systemd sends it to the whole group
    with contextlib.suppress(OSError):  # raising it is always allowed, but some sandboxes hide /proc
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)


def give_back() -> None:
    """What was freed goes back to the system: by itself, glibc keeps most of it for the next need."""
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def settle() -> None:
    """Call once the model is loaded: nothing allocated so far is garbage, so the collector need not look at it."""
    gc.collect()
    gc.freeze()

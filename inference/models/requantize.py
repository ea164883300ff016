"""`python -m mongarsd.inference.models.requantize SOURCE TARGET TYPE`: the child that calls llama_model_quantize.

A process of its own, because native code reads the file and may crash; it dies with its parent and yields to everybody.
"""

from __future__ import annotations

import os
import sys
import threading

#: llama_ftype of include/llama.h.
KINDS = {"Q4_0": 2, "Q8_0": 7, "Q4_K_M": 15}
NICE = 10


def main(arguments: list[str]) -> str | None:
    """An error message, or None."""
    if len(arguments) != 3 or arguments[2] not in KINDS:
        return f"usage: SOURCE TARGET {'|'.join(KINDS)}"
    source, target, kind = arguments
    threading.Thread(target=_die_with_parent, daemon=True).start()
    os.nice(NICE)
    os.umask(0o077)
    # here, not at the top: whoever imports this module for its names must not load the native library
    from mongarsd.inference.llama.library import load_library

    library = load_library()
    params = library.llama_model_quantize_default_params()
    params.ftype = KINDS[kind]
    params.allow_requantize = True
    params.nthread = len(os.sched_getaffinity(0))
    if library.llama_model_quantize(os.fsencode(source), os.fsencode(target), params) != 0:
        return "llama_model_quantize failed"
    return None


def _die_with_parent() -> None:
    """Standard input is a pipe whose other end only the parent holds."""
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

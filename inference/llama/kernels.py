"""Which attention kernel a step takes: the same for one token as for a draft, so that both give the same numbers.

For a step of a single token llama.cpp parts the keys of 512 and more cells among its threads (`use_split_kv_path` in
ggml-cpu/ops.cpp) and adds up the parts: its logits then differ by up to 0.9 from those of the same token in a row of 4
or 8, and a draft would change words. `use_ref` takes the plain kernel for both. With SmolLM2-135M Q4_0 they are equal
bit for bit behind 240, 300 and 1,500 tokens, at the same speed. (Weights that are not repacked, F16 say, take other
matrix kernels for more rows whatever is done here; there a near tie may fall the other way.) It is a property of the
CPU backend, of which a context makes one for itself and does not show it; so it is caught while it is made.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from importlib import metadata

from mongarsd.inference.llama.library import REQUIREMENT, load_library

_CPU = 0  # GGML_BACKEND_DEVICE_TYPE_CPU
_INIT_BACKEND = 5  # in ggml_backend_device_i, the first member of a device
_Init = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)
_SetUseRef = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_bool)


class PlainKernels:
    """Filled by `caught`; does nothing if no backend was caught: drafts then may change a near tie."""

    def __init__(self) -> None:
        self.backends: list[int] = []
        self._set: ctypes._FuncPointer | None = None
        self._on = False

    def __bool__(self) -> bool:
        return bool(self.backends)

    def use(self, on: bool) -> None:
        if on != self._on and self._set:
            self._on = on
            for backend in self.backends:
                self._set(backend, on)

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Whatever CPU backend is made inside is noted."""
        if not _layout_known():
            yield
            return
        native = vars(load_library())["_lib"]
        get_device, get_reg, get_proc = (
            native.ggml_backend_dev_by_type,
            native.ggml_backend_dev_backend_reg,
            native.ggml_backend_reg_get_proc_address,
        )
        for function, kinds in (
            (get_device, [ctypes.c_int]),
            (get_reg, [ctypes.c_void_p]),
            (get_proc, [ctypes.c_void_p, ctypes.c_char_p]),
        ):
            function.restype, function.argtypes = ctypes.c_void_p, kinds
        device = get_device(_CPU)
        setter = device and get_proc(get_reg(device), b"ggml_backend_cpu_set_use_ref")
        if not setter:
            yield
            return
        self._set = _SetUseRef(setter)
        members = (ctypes.c_void_p * (_INIT_BACKEND + 1)).from_address(device)
        address = members[_INIT_BACKEND]
        init = _Init(address or 0)

        def note(device: int, parameters: bytes | None) -> int | None:
            backend: int | None = init(device, parameters)
            if backend:
                self.backends.append(backend)
            return backend

        callback = _Init(note)
        members[_INIT_BACKEND] = ctypes.cast(callback, ctypes.c_void_p).value
        try:
            yield
        finally:
            members[_INIT_BACKEND] = address


def _layout_known() -> bool:
    """The place of `init_backend` was read in the sources of just this version."""
    package, _, version = REQUIREMENT.partition("==")
    try:
        return metadata.version(package).split("+")[0] == version
    except metadata.PackageNotFoundError:
        return False

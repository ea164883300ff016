"""Paths inside a repository or an archive, as they appear in a reference."""

from __future__ import annotations

import re

from mongarsd.inference.models.names import BESIDE
from mongarsd.inference.models.onnx_weights import DATA

SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._+()=,-]{0,199}")

ENDINGS = (".gguf", ".onnx")


def is_model_path(path: str) -> bool:
    """Relative, `/` between plain segments, of a model or what lies beside: safe in a URL, no way out of anything."""
    segments = path.split("/")
    name = segments[-1]
    return (
        len(path) <= 500
        and (name.lower().endswith(ENDINGS) or name in BESIDE.values() or DATA.fullmatch(name) is not None)
        and all(SEGMENT.fullmatch(segment) and not segment.endswith((" ", "..")) for segment in segments)
    )

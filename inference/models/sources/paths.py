"""Paths inside a repository or an archive, as they appear in a reference."""

from __future__ import annotations

import re

SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._+()=,-]{0,199}")


#: Models, and what lies beside them.
ENDINGS = (".gguf", ".onnx", "/tokenizer.json")


def is_model_path(path: str) -> bool:
    """Relative, `/` between plain segments, of a model or tokenizer: safe in a URL, and no way out of anything."""
    segments = path.split("/")
    return (
        len(path) <= 500
        and ("/" + path.lower()).endswith(ENDINGS)
        and all(SEGMENT.fullmatch(segment) and not segment.endswith((" ", "..")) for segment in segments)
    )

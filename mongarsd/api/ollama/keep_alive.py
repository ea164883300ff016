"""How long a model stays in memory after a request, as Ollama's clients say it. Pure, but for `keeping`."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator

from mongarsd.api.ollama.requests import KeepAlive
from mongarsd.api.parts import Parts
from mongarsd.ground.errors import BadRequest, MongarsError
from mongarsd.ground.status import ModelStatus

LONGEST = 31_536_000.0  # seconds, as models.keep_alive
FOREVER = -1.0
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_PART = re.compile(f"({_NUMBER})({'|'.join(sorted(_UNITS, key=len, reverse=True))})", re.ASCII)
_PLAIN = re.compile(rf"[+-]?{_NUMBER}", re.ASCII)


def seconds(value: KeepAlive | None) -> float | None:
    """-1 for every negative value; None for none. Raises BadRequest."""
    if value is None:
        return None
    number = _parse(value.strip()) if isinstance(value, str) else float(value)
    if number is None or math.isnan(number):
        raise BadRequest(
            'keep_alive: seconds, or a duration such as "5m" or "1h30m"; negative = for ever', param="keep_alive"
        )
    return FOREVER if number < 0 else min(number, LONGEST)


def _parse(text: str) -> float | None:
    """Go's durations; also a number alone, which Ollama refuses in a string and its clients' users write."""
    if _PLAIN.fullmatch(text):
        return float(text)
    sign = -1.0 if text.startswith("-") else 1.0
    rest = text.lstrip("+-") if text[:2] not in ("--", "++", "+-", "-+") else ""
    parts = list(_PART.finditer(rest))
    if not parts or sum(len(part[0]) for part in parts) != len(rest):
        return None
    return sign * sum(float(part[1]) * _UNITS[part[2]] for part in parts)


@contextlib.contextmanager
def keeping(parts: Parts, model: ModelStatus, wish: float | None) -> Iterator[None]:
    """Around all use of the model. Its wish comes into force afterwards: before, 0 could unload the model under its own
    request."""
    parts.used.add(model)
    try:
        yield
    finally:
        if wish is not None:
            with contextlib.suppress(MongarsError):  # the model has been removed meanwhile
                parts.models.keep_alive(model.base or model.digest, wish)

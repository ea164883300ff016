"""Ollama reads 8192.0 as 8192 where it wants an integer, and forms such as Home Assistant's write it so."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")

#: Fields that hold a model's options.
_OPTIONS = ("options", "parameters")


class Decoder(Generic[T]):
    """As msgspec's, with whole numbers in the options made integers before they are checked."""

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind

    def decode(self, data: bytes | bytearray, /) -> T:
        """Raises what msgspec raises."""
        body = msgspec.json.decode(data)
        if isinstance(body, dict):
            for name in _OPTIONS:
                if isinstance(options := body.get(name), dict):
                    body[name] = {key: _whole(value) for key, value in options.items()}
        return msgspec.convert(body, self._kind)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value

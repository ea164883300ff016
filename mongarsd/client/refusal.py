"""What an answer with an error status means: which exception, and whether to ask again. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from mongarsd.client.address import Address
from mongarsd.ground import errors
from mongarsd.ground.errors import ErrorInfo, MongarsError

LONGEST_WAIT = 60.0  # seconds: whoever is told to come back later than that is told so
FIRST_WAIT = 0.5  # seconds, doubled each time, when the answer does not say

#: For a code that this client does not know.
_BY_STATUS: dict[int, type[MongarsError]] = {
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    413: errors.TooLarge,
    421: errors.Forbidden,
    429: errors.RateLimited,
    503: errors.Busy,
    504: errors.DeadlineExceeded,
}


def failure(found: Any) -> MongarsError:
    """The exception for the error object that ends a stream."""
    error = from_object(found)
    return error if error.message else type(error)("the answer failed, and the daemon does not say why", **error.detail)


class Refused(NamedTuple):
    """An answer with an error status."""

    status: int
    headers: dict[str, str]  # names in small letters
    data: bytes

    @classmethod
    def of(cls, status: int, headers: Iterable[tuple[str, str]], data: bytes) -> Refused:
        return cls(status, {name.lower(): value for name, value in headers}, data)

    def error(self, address: Address, path: str) -> MongarsError:
        error = from_object(_object(self.data), self.status)
        if not error.message:
            error = _named(self.status)(f"{address} answered with HTTP status {self.status}")
        if isinstance(error, errors.Busy) and (seconds := self._told()) is not None:
            error.detail["retry_after"] = seconds
        if address.url and path.startswith("/admin/") and self.status in (401, 403):
            return type(error)(
                f"{address} wants a key with the scope admin for that: set MONGARSD_API_KEY, or run mongarsctl "
                f"on that machine, for example `ssh {address.host} mongarsctl status`"
            )
        if self.status == 401 and not address.key:
            return type(error)(f"{address} wants an API key: set MONGARSD_API_KEY, or give one (--key)")
        return error

    def wait(self, tried: int) -> float | None:
        """Seconds until the same request is worth sending again, after `tried` times before; None = it never is."""
        if self.status not in (429, 503) or self.headers.get("x-should-retry") == "false":
            return None
        told = self._told()
        seconds = FIRST_WAIT * 2**tried if told is None else told
        return seconds if seconds <= LONGEST_WAIT else None

    def _told(self) -> float | None:
        for name, factor in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
            text = self.headers.get(name, "")
            if text.isascii() and text.isdigit() and len(text) <= 9:
                return int(text) * factor
        return None


def from_object(found: Any, status: int = 500) -> MongarsError:
    """The exception for OpenAI's error object or Ollama's string; its message is "" if it is neither."""
    if isinstance(found, str):
        return _named(status)(found)
    if not isinstance(found, dict) or not isinstance(found.get("message"), str):
        return _named(status)("")
    detail = {name: value for name, value in found.items() if name not in ("message", "type", "param", "code")}
    code, param = found.get("code"), found.get("param")
    info = ErrorInfo(str(code), found["message"], param if isinstance(param, str) else None, {})
    error = errors.from_info(info)
    if type(error) is MongarsError and code != MongarsError.code:
        error = _named(status)(info.message, param=info.param)
    error.detail.update(detail)
    return error


def _named(status: int) -> type[MongarsError]:
    return _BY_STATUS.get(status) or (errors.BadRequest if 400 <= status < 500 else MongarsError)


def _object(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)["error"]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        return None

"""Errors become HTTP here and nowhere else: one status for each class, one error object for every client.

The object is OpenAI's, `{"error": {"message", "type", "param", "code"}}`, with the error's numbers beside them
(position and estimate of a full queue, need and have of a memory that is too small). Below /api/ it is Ollama's,
`{"error": "message"}`, with the code and the numbers beside, below /v1/messages Anthropic's,
`{"type": "error", "error": {"type", "message"}}`, with all the rest in the inner object; so it is at any other
address of /v1/ for who sends `anthropic-version`.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from mongarsd.ground import errors

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: The OpenAI SDK resends 408, 409, 429 and every 5xx unless `x-should-retry: false` tells it that this is useless.
_STATUS: dict[type[errors.MongarsError], tuple[int, bool]] = {
    errors.MongarsError: (500, True),
    errors.BadRequest: (400, False),
    errors.Unauthorized: (401, False),
    errors.Forbidden: (403, False),
    errors.NotFound: (404, False),
    errors.TooLarge: (413, False),
    errors.Conflict: (409, False),
    errors.Busy: (503, True),
    errors.RateLimited: (429, True),
    errors.DeadlineExceeded: (504, False),
    errors.InvalidModel: (400, False),
    errors.DoesNotFit: (507, False),
    errors.DiskFull: (507, False),
    errors.StorageUnavailable: (503, True),
    errors.StorageFull: (507, False),
    errors.SourceUnavailable: (502, True),
    errors.VerificationFailed: (502, False),
    errors.WorkerCrashed: (500, False),
    errors.SettingsError: (422, False),
    errors.StartError: (500, False),
}

#: The words OpenAI uses; what is not listed is "invalid_request_error" below 500 and "server_error" from there.
_TYPE = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 503: "overloaded_error"}

#: The words Anthropic uses, by its SDK's classes.
_ANTHROPIC_TYPE = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}

OLLAMA = "/api/"  # its routes begin so
ANTHROPIC = "/v1/messages"
_SHARED = "/v1/"  # here the header tells whose client it is
_VERSION = "anthropic-version"  # every client of Anthropic's sends it

RETRY_AFTER = 1.0  # seconds, when Busy does not say; the SDK waits as it likes when told more than 60


class Answer(NamedTuple):
    status: int
    error: dict[str, Any]
    headers: dict[str, str]

    @property
    def body(self) -> bytes:
        """{"error": {...}} as JSON."""
        return msgspec.json.encode({"error": self.error}, enc_hook=str)

    @property
    def plain_body(self) -> bytes:
        """{"error": "message", "code": …} as JSON."""
        rest = {name: value for name, value in self.error.items() if name not in ("message", "type", "param", "error")}
        return msgspec.json.encode({"error": self.error["message"], **rest}, enc_hook=str)

    @property
    def anthropic_body(self) -> bytes:
        """{"type": "error", "error": {...}} as JSON."""
        kind = _ANTHROPIC_TYPE.get(self.status, "invalid_request_error" if self.status < 500 else "api_error")
        return msgspec.json.encode({"type": "error", "error": self.error | {"type": kind}}, enc_hook=str)

    def response(self, request: web.BaseRequest | None = None) -> web.Response:
        """In the words of the API that the request belongs to; OpenAI's when nobody knows."""
        body = self.body
        if request is not None and request.raw_path.startswith(OLLAMA):
            body = self.plain_body
        elif request is not None and for_anthropic(request):
            body = self.anthropic_body
        return web.Response(status=self.status, body=body, content_type="application/json", headers=self.headers)


def for_anthropic(request: web.BaseRequest) -> bool:
    """Is the answer for a client of Anthropic's?"""
    path = request.raw_path
    return path.startswith(ANTHROPIC) or (path.startswith(_SHARED) and _VERSION in request.headers)


def answer(error: BaseException) -> Answer:
    """What the client is told. Whatever is not an error of ours is logged under an id, and only the id goes out."""
    if isinstance(error, errors.MongarsError):
        return _known(error)
    if isinstance(error, web.HTTPException):
        return _http(error)
    ticket = secrets.token_hex(6)
    log.error("unexpected error %s: %r", ticket, error, exc_info=error)
    message = f"an unexpected error happened here; the log of mongarsd has it under {ticket}"
    return Answer(500, _object(500, message, code="internal_error", id=ticket), {})


def status(error: BaseException) -> int:
    """Of the answer; logs nothing."""
    if isinstance(error, errors.MongarsError):
        return _known(error).status
    return error.status if isinstance(error, web.HTTPException) else 500


def _known(error: errors.MongarsError) -> Answer:
    status, retry = next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
    detail = dict(error.detail)
    headers: dict[str, str] = {}
    if isinstance(error, errors.Busy):
        seconds = _seconds(detail.get("retry_after"))
        headers["Retry-After"] = str(math.ceil(seconds))
        headers["retry-after-ms"] = str(math.ceil(seconds * 1000))
        detail.setdefault("state", error.code)
    if not retry and status in (408, 409, 429, 500, 502, 503, 504, 507):
        headers["x-should-retry"] = "false"
    if isinstance(error, errors.Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="mongarsd"'
    return Answer(status, _object(status, error.message, param=error.param, code=error.code, **detail), headers)


def _seconds(value: Any) -> float:
    return min(max(float(value), 0.001), 900.0) if isinstance(value, (int, float)) else RETRY_AFTER


def _http(error: web.HTTPException) -> Answer:
    """An exception of aiohttp's: 404 and 405 from its router, 415 and 421 from our guard."""
    code = error.reason.lower().replace(" ", "_")
    message = error.text or ""
    if message == f"{error.status}: {error.reason}":  # aiohttp's own wording
        message = _WORDS.get(error.status, error.reason)
    headers = {name: error.headers[name] for name in ("Allow", "Upgrade") if name in error.headers}
    return Answer(error.status, _object(error.status, message, code=code), headers)


_WORDS = {
    404: "there is nothing at this address; /openapi.json lists what there is",
    405: "this address does not answer that method; the Allow header lists those it does",
}


def _object(status: int, message: str, *, param: str | None = None, code: str, **detail: Any) -> dict[str, Any]:
    kind = _TYPE.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"message": message, "type": kind, "param": param, "code": code} | {
        name: value for name, value in detail.items() if name not in ("message", "type", "param", "code")
    }


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every exception into an answer. A client that is gone gets none."""
    try:
        return await handler(request)
    except ConnectionError:
        raise
    except Exception as error:
        if request.writer.output_size:  # half an answer is out: nothing more can be said on this connection
            answer(error)
            raise ConnectionResetError("the answer failed half-way") from error
        return answer(error).response(request)

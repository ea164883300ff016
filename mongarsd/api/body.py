"""A request's body: read within limits, decoded once, and every complaint names the field."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, Protocol, TypeVar

import msgspec
from aiohttp import web

from mongarsd.api.limits import BODIES, BODIES_AT_ONCE, Hold
from mongarsd.api.parts import PARTS
from mongarsd.ground.errors import BadRequest, TooLarge
from mongarsd.ground.settings import ServerSettings

T = TypeVar("T")
Made = TypeVar("Made", covariant=True)

#: Bytes a second a body must keep up with once `header_timeout` is over: a bad radio link does, a trickle does not.
MIN_RATE = 16 * 1024
#: Levels of free-form JSON (template arguments, tool calls). Nobody needs more; Jinja and msgpack recurse on them.
MAX_DEPTH = 32
#: Opening brackets in a body. `[[],[],…` becomes 20 times its size when decoded: 8 MB would be 180.
MAX_BRACKETS = 500_000

_COMPLAINT = re.compile(r"(?P<what>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>[^`]*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]+)`")


class Decodes(Protocol[Made]):
    """msgspec's decoder, or what raises the same."""

    def decode(self, data: bytes | bytearray, /) -> Made: ...


async def decode(request: web.Request, decoder: Decodes[T], most: int | None = None) -> T:
    """The body as the decoder's type; `most`: bytes, where a few are enough. Raises BadRequest, TooLarge, Busy, or
    aiohttp's 408 and 415."""
    server = request.app[PARTS].settings.server
    with request.app[BODIES].hold() as hold:
        return parse(await _read(request, hold, server, min(most or server.max_body, server.max_body)), decoder)


def parse(data: bytes | bytearray, decoder: Decodes[T]) -> T:
    """Bytes to values. Raises BadRequest whose `param` is the path of the field, like `messages[0].content`."""
    if not data:
        raise BadRequest("the body is empty; send a JSON object")
    if data.count(b"[") + data.count(b"{") > MAX_BRACKETS:
        raise BadRequest(f"the body has more than {MAX_BRACKETS} brackets")
    try:
        text = str(data, "utf-8")  # the decoder does not look into fields it skips
        value = decoder.decode(data)
        _check_names(text)
        return value
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8 (byte {error.start})") from None
    except msgspec.ValidationError as error:
        raise _complaint(str(error)) from None
    except msgspec.DecodeError as error:
        raise BadRequest(f"the body is not valid JSON: {str(error).removeprefix('JSON is malformed: ')}") from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None


def check_plain(value: Any, param: str, depth: int = MAX_DEPTH) -> None:
    """Free-form JSON must be shallow, and its integers must fit into 64 bits. Raises BadRequest."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise BadRequest(f"{param}: an integer does not fit into 64 bits", param=param)
    if isinstance(value, (dict, list)):
        if depth == 0:
            raise BadRequest(f"{param}: nested more than {MAX_DEPTH} levels deep", param=param)
        for item in value.values() if isinstance(value, dict) else value:
            check_plain(item, param, depth - 1)


def _check_names(text: str) -> None:
    """Of two fields with the same name the decoder takes the last, and whoever checked the request before it, a proxy
    or a log, perhaps the first. 10 µs for a short chat, 0.2 ms for 27 kB of messages and tools. `text` is what the
    decoder took, and it is the stricter of the two. Raises BadRequest."""
    json.loads(text, object_pairs_hook=_unique, parse_int=float)  # float reads any number of digits


def _unique(pairs: list[tuple[str, Any]]) -> None:
    names = set()
    for name, _ in pairs:
        if name in names:
            raise BadRequest(f"{name[:60]!r} stands twice in one object of the body")
        names.add(name)


def _complaint(text: str) -> BadRequest:
    """msgspec's "Expected `int`, got `str` - at `$.messages[0].content`" in our words, with `param`."""
    match = _COMPLAINT.fullmatch(text)
    what, path = (match["what"], (match["path"] or "").lstrip(".")) if match else (text, "")
    if missing := _MISSING.fullmatch(what):
        path = f"{path}.{missing['field']}" if path else missing["field"]
        return BadRequest(f"{path}: required, and missing", param=path)
    what = what.replace(" | null", "").replace("`", "").replace("Invalid enum value", "Unknown value")
    what = what[:1].lower() + what[1:300]
    if match and match["key"]:
        what = f"in a key: {what}"
    return BadRequest(f"{path or 'the body'}: {what}", param=path or None)


async def _read(request: web.Request, hold: Hold, settings: ServerSettings, most: int) -> bytearray:
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise web.HTTPUnsupportedMediaType(text="send the body without Content-Encoding")
    why = " (server.max_body)" if most == settings.max_body else ""
    too_large = TooLarge(f"the body is larger than {most} bytes{why}", limit=most)
    if (request.content_length or 0) > most:
        raise too_large
    data = bytearray()
    begin = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(settings.header_timeout or None) as limit:
            while chunk := await request.content.readany():
                if len(data) + len(chunk) > most:
                    raise too_large
                hold.take(len(chunk), BODIES_AT_ONCE * settings.max_body)
                data += chunk
                if settings.header_timeout:
                    limit.reschedule(begin + settings.header_timeout + len(data) / MIN_RATE)
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the body came too slowly") from None
    except web.RequestPayloadError as error:
        raise BadRequest(f"the body is damaged: {error}") from None
    return data

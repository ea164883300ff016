"""NDJSON: one object a line, never a blank one. Several lines in one stream stay in one piece each."""

from __future__ import annotations

from aiohttp import web

from mongarsd.api import errors
from mongarsd.api.openai.stream import EventStream

NDJSON = "application/x-ndjson"


class LineStream(EventStream):
    """`ping` is a line that says nothing: clients read every line as an object, so there is no comment to send."""

    media = NDJSON

    def __init__(self, request: web.Request, interval: float, ping: bytes) -> None:
        super().__init__(request, interval)
        self.ping = ping

    def failure(self, error: Exception) -> bytes:
        return errors.answer(error).plain_body + b"\n"

"""A hub on the loopback: HEAD with X-Linked-*, a redirect to another origin, ranges, gates and faults."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from mongarsd.inference.models.sources.hub import Hub

COMMIT = "c0ffee" * 6 + "cafe"
TOKEN = "hf_secret"


@dataclass
class FakeHub:
    """Serves `body` as REPO/model.gguf. Faults are attributes that a test sets."""

    body: bytes
    gated: bool = False  # ask for TOKEN
    cut: list[int] = field(default_factory=list)  # bytes after which each of the next answers breaks off
    ranges: bool = True
    sha256: str | None = None  # what it claims; None = the truth
    size: int | None = None
    statuses: list[int] = field(default_factory=list)  # of the next answers of the content network
    location: str | None = None  # where it redirects to; None = its content network
    missing: str | None = None  # X-Error-Code
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)  # (server, method, headers)

    async def __aenter__(self) -> FakeHub:
        self.hub = await _serve(self._resolve)
        self.content = await _serve(self._download)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hub.close()
        await self.content.close()

    def settings(self, token: str | None = None) -> Hub:
        return Hub(URL(str(self.hub.make_url("")).rstrip("/")), token)

    def requests(self, server: str, method: str) -> list[dict[str, str]]:
        return [headers for where, how, headers in self.seen if (where, how) == (server, method)]

    async def _resolve(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(("hub", request.method, dict(request.headers)))
        if self.missing:
            return web.Response(status=404, headers={"X-Error-Code": self.missing})
        if self.gated and request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=401, headers={"X-Error-Code": "GatedRepo"})
        if request.path.startswith("/old/"):
            return web.Response(status=307, headers={"Location": request.path.replace("/old/", "/org/")})
        assert request.path in ("/org/repo/resolve/main/sub/model.gguf", f"/org/repo/resolve/{COMMIT}/sub/model.gguf")
        headers = {
            "X-Repo-Commit": COMMIT,
            "X-Linked-Size": str(len(self.body) if self.size is None else self.size),
            "X-Linked-Etag": f'"{self.sha256 or hashlib.sha256(self.body).hexdigest()}"',
            "Location": self.location or f"{self.content.make_url('/signed')}?a=b%2Fc&X-Sig=1%3D",
        }
        return web.Response(status=302, headers=headers)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(("content", request.method, dict(request.headers)))
        assert request.raw_path == "/signed?a=b%2Fc&X-Sig=1%3D"  # quoted as it was signed
        if self.statuses:
            return web.Response(status=self.statuses.pop(0))
        start = 0
        if self.ranges and (asked := request.headers.get("Range")):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        answer = web.StreamResponse(status=206 if start else 200)
        if start:
            answer.headers["Content-Range"] = f"bytes {start}-{len(self.body) - 1}/{len(self.body)}"
        answer.content_length = len(self.body) - start
        await answer.prepare(request)
        if self.cut:
            await answer.write(self.body[start : start + self.cut.pop(0)])
            assert request.transport is not None
            request.transport.close()
        else:
            await answer.write(self.body[start:])
        return answer


async def _serve(handler: object) -> TestServer:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)  # type: ignore[arg-type]
    server = TestServer(app)
    await server.start_server()
    return server

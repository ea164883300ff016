"""`hf:OWNER/REPO[@REVISION]/FILE`: a file on the Hugging Face hub, over plain HTTPS.

The hub's protocol as huggingface_hub speaks it: HEAD on `/OWNER/REPO/resolve/REVISION/FILE` states commit, size and the
SHA-256 that the file was uploaded under (X-Repo-Commit, X-Linked-Size, X-Linked-Etag); GET redirects to a content
network with a signed URL that is valid for some minutes, so each resumption starts at the hub again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar
from urllib.parse import quote

import aiohttp

from mongarsd.ground.errors import BadRequest, SourceUnavailable, VerificationFailed
from mongarsd.inference.models.sources.base import Offer, Sink
from mongarsd.inference.models.sources.hub import Hub
from mongarsd.inference.models.sources.hub_client import TryAgain, request
from mongarsd.inference.models.sources.paths import is_model_path
from mongarsd.inference.models.threads import PIECE

T = TypeVar("T")

PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
REF = re.compile(rf"(?P<repo>{PART}/{PART})(?:@(?P<revision>{PART}))?/(?P<file>.+)")
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
SIZE = re.compile(r"[0-9]{1,15}")
CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15}|\*)")
#: Failures in a row without a byte gained, after which the network is taken to be down; waits of 1, 2, 4, 8 s between.
ATTEMPTS = 5


class HfSource:
    remote = True

    def __init__(
        self, repo: str, revision: str, file: str, *, hub: Callable[[], Hub] = Hub.from_environment, pause: float = 1.0
    ) -> None:
        self.repo, self.revision, self.file = repo, revision, file
        self.ref = f"hf:{repo}{'' if revision == 'main' else '@' + revision}/{file}"
        self.immutable = bool(COMMIT.fullmatch(revision))
        self._hub = hub
        self._pause = pause  # seconds before the first retry

    @classmethod
    def parse(cls, rest: str) -> HfSource:
        found = REF.fullmatch(rest)
        if not found or ".." in rest or not is_model_path(found["file"]):
            raise BadRequest(
                f"{rest[:200]!r} is not understood: write hf:OWNER/REPO/FILE or hf:OWNER/REPO@REVISION/FILE, "
                "a .gguf or .onnx.",
                param="ref",
            )
        return cls(found["repo"], found["revision"] or "main", found["file"])

    async def offer(self) -> Offer:
        async def ask() -> Offer:
            async with request(self._online(), "HEAD", self._path(self.revision), {}, self.repo) as answer:
                return self._read_offer(answer.headers)

        return await self._persist(ask)

    async def fetch(self, offer: Offer, sink: Sink) -> None:
        have = await sink.begin(offer.size)
        path = self._path(offer.identity.rpartition("@")[2])

        async def get() -> None:
            nonlocal have
            range_header = {"Range": f"bytes={have}-"} if have else {}
            async with request(self._online(), "GET", path, range_header, self.repo) as answer:
                if have and not _continues(answer, have, offer.size):
                    await sink.restart()
                    have = 0
                if answer.status == 416:
                    raise TryAgain("it does not continue the file")
                async for data in answer.content.iter_chunked(PIECE):
                    await sink.write(data)
                    have += len(data)
            if have != offer.size:
                raise TryAgain(f"the connection ended after {have} of {offer.size} bytes")

        if have != offer.size:
            await self._persist(get, progress=lambda: have)

    def _online(self) -> Hub:
        hub = self._hub()
        if hub.offline:
            raise SourceUnavailable("HF_HUB_OFFLINE is set: the hub is not asked.")
        return hub

    def _path(self, revision: str) -> str:
        return f"/{self.repo}/resolve/{revision}/{quote(self.file)}"

    def _read_offer(self, headers: Mapping[str, str]) -> Offer:
        sha256 = _unquote(headers.get("X-Linked-Etag") or headers.get("ETag") or "")
        size = headers.get("X-Linked-Size") or headers.get("Content-Length") or ""
        commit = headers.get("X-Repo-Commit", "")
        if not (SHA256.fullmatch(sha256) and SIZE.fullmatch(size) and COMMIT.fullmatch(commit)):
            raise VerificationFailed(
                f"The hub does not state commit, size and SHA-256 of {self.ref}: it could not be verified.", param="ref"
            )
        return Offer(identity=f"{self.repo}/{self.file}@{commit}", size=int(size), sha256=sha256, resumable=True)

    async def _persist(self, attempt: Callable[[], Awaitable[T]], progress: Callable[[], int] = lambda: 0) -> T:
        """Try until it works, or until it failed `ATTEMPTS` times in a row without a byte gained."""
        failures, best = 0, progress()
        while True:
            try:
                return await attempt()
            except (TryAgain, aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                failures = 1 if progress() > best else failures + 1
                best = max(best, progress())
                if failures >= ATTEMPTS:
                    reason = str(error) if isinstance(error, TryAgain) else type(error).__name__
                    raise SourceUnavailable(
                        f"{self._hub().endpoint.host} could not be reached properly ({reason}): "
                        "check the connection and try again; what has arrived is kept."
                    ) from error
            await asyncio.sleep(self._pause * 2 ** (failures - 1))


def _unquote(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')


def _continues(answer: aiohttp.ClientResponse, have: int, size: int | None) -> bool:
    """Does the answer go on where we stopped, in a file of the same size?"""
    found = CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    return answer.status == 206 and found is not None and int(found[1]) == have and found[2] in ("*", str(size))

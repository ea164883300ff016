from __future__ import annotations

import hashlib
import socket
from pathlib import Path

import pytest
from fakes.hub import COMMIT, TOKEN, FakeHub
from fakes.sink import MemorySink
from yarl import URL

from mongarsd.ground.errors import BadRequest, NotFound, SourceUnavailable, VerificationFailed
from mongarsd.inference.models.sources.hf import HfSource
from mongarsd.inference.models.sources.hub import Hub

BODY = bytes(range(256)) * 4096  # 1 MiB


def source(hub: FakeHub, token: str | None = None, repo: str = "org/repo") -> HfSource:
    return HfSource(repo, "main", "sub/model.gguf", hub=lambda: hub.settings(token), pause=0.0)


async def test_download(tmp_path: Path) -> None:
    async with FakeHub(BODY) as hub:
        sink = MemorySink(tmp_path)
        offer = await source(hub).offer()
        await source(hub).fetch(offer, sink)
    assert bytes(sink.data) == BODY
    assert (offer.size, offer.sha256) == (len(BODY), hashlib.sha256(BODY).hexdigest())
    assert offer.identity == f"org/repo/sub/model.gguf@{COMMIT}"
    assert offer.resumable


async def test_token_goes_to_the_hub_alone(tmp_path: Path) -> None:
    async with FakeHub(BODY, gated=True) as hub:
        offer = await source(hub, TOKEN).offer()
        await source(hub, TOKEN).fetch(offer, MemorySink(tmp_path))
    assert all(headers["Authorization"] == f"Bearer {TOKEN}" for headers in hub.requests("hub", "GET"))
    assert len(hub.requests("content", "GET")) == 1
    assert all("Authorization" not in headers for headers in hub.requests("content", "GET"))


async def test_gated_says_what_to_do() -> None:
    async with FakeHub(BODY, gated=True) as hub:
        with pytest.raises(SourceUnavailable, match=r"accept its licence at .*/org/repo with your account"):
            await source(hub).offer()


@pytest.mark.parametrize(
    ("code", "what"), [("EntryNotFound", "file"), ("RevisionNotFound", "revision"), ("RepoNotFound", "repository")]
)
async def test_missing(code: str, what: str) -> None:
    async with FakeHub(BODY, missing=code) as hub:
        with pytest.raises(NotFound, match=f"no such {what}"):
            await source(hub).offer()


async def test_renamed_repository_is_followed() -> None:
    async with FakeHub(BODY) as hub:
        assert (await source(hub, repo="old/repo").offer()).size == len(BODY)


async def test_resumes_where_it_stopped(tmp_path: Path) -> None:
    async with FakeHub(BODY) as hub:
        sink = MemorySink(tmp_path, BODY[:1000])
        offer = await source(hub).offer()
        await source(hub).fetch(offer, sink)
    assert bytes(sink.data) == BODY
    assert hub.requests("content", "GET")[0]["Range"] == "bytes=1000-"
    assert sink.restarts == 0


async def test_whole_file_is_not_asked_for_again(tmp_path: Path) -> None:
    async with FakeHub(BODY) as hub:
        await source(hub).fetch(await source(hub).offer(), MemorySink(tmp_path, BODY))
    assert not hub.requests("content", "GET")


async def test_server_without_ranges_starts_again(tmp_path: Path) -> None:
    async with FakeHub(BODY, ranges=False) as hub:
        sink = MemorySink(tmp_path, b"other bytes")
        await source(hub).fetch(await source(hub).offer(), sink)
    assert bytes(sink.data) == BODY
    assert sink.restarts == 1


async def test_refused_range_starts_again(tmp_path: Path) -> None:
    async with FakeHub(BODY, statuses=[416]) as hub:
        sink = MemorySink(tmp_path, BODY[:10])
        await source(hub).fetch(await source(hub).offer(), sink)
    assert bytes(sink.data) == BODY


async def test_broken_connections_are_resumed(tmp_path: Path) -> None:
    async with FakeHub(BODY, cut=[100_000] * 7, statuses=[503, 403]) as hub:
        sink = MemorySink(tmp_path)
        await source(hub).fetch(await source(hub).offer(), sink)
    assert bytes(sink.data) == BODY
    assert len(hub.requests("content", "GET")) == 10


async def test_gives_up_when_nothing_arrives(tmp_path: Path) -> None:
    async with FakeHub(BODY, statuses=[500] * 20) as hub:
        with pytest.raises(SourceUnavailable, match="HTTP 500"):
            await source(hub).fetch(await source(hub).offer(), MemorySink(tmp_path))
    assert len(hub.requests("content", "GET")) == 5


async def test_unreachable_hub() -> None:
    nobody = HfSource("org/repo", "main", "m.gguf", hub=lambda: Hub(URL("http://127.0.0.1:9"), None), pause=0.0)
    with pytest.raises(SourceUnavailable, match="check the connection"):
        await nobody.offer()


async def test_offline() -> None:
    with pytest.raises(SourceUnavailable, match="HF_HUB_OFFLINE"):
        await HfSource("o/r", "main", "m.gguf", hub=lambda: Hub(URL("https://huggingface.co"), None, True)).offer()


@pytest.mark.parametrize(
    "location",
    [
        "http://evil.example/x",
        "https://evil.example/x",
        "https://127.0.0.1.evil.example/",
        "https://192.168.1.1/",
        "http://[fd00::1]/",
        "http://user:pw@127.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
    ],
)
async def test_redirect_elsewhere_is_not_followed(tmp_path: Path, location: str) -> None:
    async with FakeHub(BODY, location=location) as hub:
        offer = await source(hub).offer()  # its headers come with the redirect; nothing is followed yet
        with pytest.raises(SourceUnavailable, match="not followed"):
            await source(hub).fetch(offer, MemorySink(tmp_path))


async def test_private_address_behind_a_public_name_is_not_contacted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rebound(host: str, port: int, *_: object, **__: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", port))]

    async with FakeHub(BODY, location="https://cdn-lfs.hf.co/x") as hub:
        offer = await source(hub).offer()
        monkeypatch.setattr(socket, "getaddrinfo", rebound)
        with pytest.raises(SourceUnavailable, match="private address"):
            await source(hub).fetch(offer, MemorySink(tmp_path))


async def test_redirect_loop_ends(tmp_path: Path) -> None:
    async with FakeHub(BODY) as hub:
        hub.location = str(hub.hub.make_url("/org/repo/resolve/main/sub/model.gguf"))
        with pytest.raises(SourceUnavailable, match="5 times"):
            await source(hub).fetch(await source(hub).offer(), MemorySink(tmp_path))


@pytest.mark.parametrize("fault", [{"sha256": "f" * 40}, {"sha256": "../../etc"}, {"size": -1}])
async def test_unverifiable_file_is_refused(fault: dict[str, object]) -> None:
    async with FakeHub(BODY, **fault) as hub:  # type: ignore[arg-type]
        with pytest.raises(VerificationFailed, match="could not be verified"):
            await source(hub).offer()


@pytest.mark.parametrize("rest", ["org/repo/m.gguf", "org/repo@v1.0/a/b.GGUF", f"org/repo@{COMMIT}/m.gguf"])
def test_references(rest: str) -> None:
    parsed = HfSource.parse(rest)
    assert parsed.ref == f"hf:{rest}"
    assert parsed.immutable == (COMMIT in rest)


@pytest.mark.parametrize(
    "rest",
    [
        *("", "m.gguf", "repo/m.gguf", "org/repo/m.bin", "org/repo/../m.gguf", "org/repo//m.gguf", "org/repo@/m.gguf"),
        *("org/re po/m.gguf", "org/repo/a?b.gguf", "org/repo/a%2e.gguf", "-org/repo/m.gguf", "org/repo/m.gguf\n"),
        *("org/repo@a..b/m.gguf", "org/repo/" + "x" * 600 + ".gguf", "https://huggingface.co/org/repo/m.gguf"),
    ],
)  # fmt: skip
def test_bad_references(rest: str) -> None:
    with pytest.raises(BadRequest):
        HfSource.parse(rest)


def test_hub_settings(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    home = {"HF_HOME": str(tmp_path)}
    assert Hub.from_environment(home) == Hub(URL("https://huggingface.co"), TOKEN)
    assert Hub.from_environment({**home, "HF_TOKEN": "other"}).token == "other"
    assert Hub.from_environment({"HF_TOKEN_PATH": str(tmp_path / "token")}).token == TOKEN
    assert Hub.from_environment({**home, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}).token is None
    assert Hub.from_environment({"HF_HOME": "/nowhere", "HF_TOKEN": "a\nb"}).token is None
    assert Hub.from_environment({"HF_HOME": "/nowhere", "HF_HUB_OFFLINE": "1"}).offline
    assert Hub.from_environment({**home, "HF_ENDPOINT": "https://m.example/hf/"}).endpoint.path == "/hf"
    assert TOKEN not in repr(Hub.from_environment(home))


def test_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.lan:3128")
    monkeypatch.setenv("no_proxy", "mirror.lan")
    hub = Hub.from_environment({"HF_HOME": "/nowhere"})
    assert hub.proxy(URL("https://huggingface.co/x")) == URL("http://proxy.lan:3128")
    assert hub.proxy(URL("https://mirror.lan/x")) is None
    assert hub.proxy(URL("http://127.0.0.1:1/x")) is None


@pytest.mark.parametrize("endpoint", ["nonsense", "/path", "https://"])
def test_bad_endpoint(endpoint: str) -> None:
    with pytest.raises(SourceUnavailable, match="HF_ENDPOINT"):
        Hub.from_environment({"HF_ENDPOINT": endpoint, "HF_HOME": "/nowhere"})

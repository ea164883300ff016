"""Files and vector stores over HTTP: the real openai-python, forms of every kind, and two accounts."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from fakes.documents import FakeEmbedder
from fakes.pdf_files import build_pdf
from fakes.served import Served, fake_parts, serve

from mongarsd.api.openai.documents import DOCUMENTS
from mongarsd.ground.clock import SystemClock
from mongarsd.ground.settings import DocumentSettings
from mongarsd.memory.room import Memory

CATS = b"# Pets\n\nThe kitten sleeps on the sofa."
CARS = b"# Things\n\nThe vehicle stands in the garage."
FORM = "multipart/form-data; boundary=XX"
MAX_FILE = 100_000


@asynccontextmanager
async def library(folder: Path, **server: Any) -> AsyncIterator[Served]:
    """A server whose documents are really stored, and indexed in the background."""
    embedder = FakeEmbedder()
    limits = DocumentSettings(max_file=MAX_FILE)
    memory = Memory(
        folder, SystemClock(), documents=lambda: limits, embed=embedder, model=lambda: embedder.model
    )  # fmt: skip
    parts = fake_parts(memory=memory, **server)
    memory.begin()
    await memory.opened(60)
    try:
        async with serve(parts=parts) as served:
            yield served
    finally:
        await memory.close()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with library(tmp_path) as running:
        yield running


def client(served: Served, key: str = "none") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=served.url + "/v1", api_key=key, max_retries=0)


def contents(folder: Path) -> list[str]:
    return [path.name for path in (folder / "files").iterdir()] if (folder / "files").exists() else []


def form(
    data: bytes, *, purpose: str | None = "assistants", name: str = '; filename="a.md"', first: bool = True
) -> bytes:
    field = f'--XX\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n'.encode() if purpose else b""
    file = f'--XX\r\nContent-Disposition: form-data; name="file"{name}\r\n\r\n'.encode() + data + b"\r\n"
    return (field + file if first else file + field) + b"--XX--\r\n"


async def post(served: Served, body: Any, status: int, content_type: str = FORM) -> Any:
    return await served.json("POST", "/v1/files", status, data=body, headers={"Content-Type": content_type})


async def test_files_with_openai_python(served: Served) -> None:
    async with client(served) as api:
        made = await api.files.create(file=("notes/ünï.md", CATS), purpose="assistants")
        assert (made.filename, made.bytes, made.purpose, made.status) == (
            "ünï.md",
            len(CATS),
            "assistants",
            "processed",
        )
        other = await api.files.create(file=("b.md", CARS), purpose="user_data")
        assert [file.id async for file in api.files.list(limit=1)] == [other.id, made.id]
        assert [file.id async for file in api.files.list(purpose="assistants")] == [made.id]
        assert (await api.files.retrieve(made.id)) == made
        assert (await api.files.content(made.id)).content == CATS
        assert (await api.files.delete(made.id)).deleted
        with pytest.raises(openai.NotFoundError):
            await api.files.retrieve(made.id)
        with pytest.raises(openai.BadRequestError, match="purpose"):
            await api.files.create(file=("a", b"x"), purpose="nonsense")  # type: ignore[arg-type]
        expires: Any = {"anchor": "created_at", "seconds": 3600}
        with pytest.raises(openai.BadRequestError, match="expires_after"):
            await api.files.create(file=("a", b"x"), purpose="assistants", expires_after=expires)


async def test_vector_stores_with_openai_python(served: Served) -> None:
    async with client(served) as api:
        store = await api.vector_stores.create(name="house", metadata={"room": "hall"})
        assert (store.name, store.status, store.metadata) == ("house", "completed", {"room": "hall"})
        file = await api.vector_stores.files.upload_and_poll(
            vector_store_id=store.id, file=("pets.md", CATS), poll_interval_ms=20, attributes={"year": 2024}
        )
        assert (file.status, file.last_error, file.attributes) == ("completed", None, {"year": 2024})
        assert file.chunking_strategy is not None
        pdf = await api.files.create(file=("car.pdf", build_pdf(["", "The auto is red"])), purpose="assistants")
        bad = await api.files.create(file=("bad.pdf", b"%PDF-1.4 nothing"), purpose="assistants")
        batch = await api.vector_stores.file_batches.create_and_poll(
            vector_store_id=store.id, file_ids=[pdf.id, bad.id], poll_interval_ms=20,
            chunking_strategy={"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50}},
        )  # fmt: skip
        assert (batch.status, batch.file_counts.completed, batch.file_counts.failed) == ("completed", 1, 1)
        failed = [one async for one in api.vector_stores.files.list(store.id, filter="failed")]
        assert [one.id for one in failed] == [bad.id]
        assert failed[0].last_error is not None
        assert "damaged" in failed[0].last_error.message

        found = await api.vector_stores.search(store.id, query="vehicle", max_num_results=1)
        assert [(hit.file_id, hit.filename) for hit in found.data] == [(pdf.id, "car.pdf")]
        assert found.data[0].to_dict()["page"] == 2
        found = await api.vector_stores.search(
            store.id, query=["feline", "sofa"], filters={"type": "gte", "key": "year", "value": 2024}
        )
        assert [hit.content[0].text for hit in found.data] == [CATS.decode()]
        assert found.data[0].to_dict()["headings"] == ["Pets"]
        text = await api.vector_stores.files.content(file.id, vector_store_id=store.id)
        assert [one.text for one in text.data] == [CATS.decode()]

        changed = await api.vector_stores.update(store.id, name="home")
        assert (changed.name, changed.file_counts.total, changed.usage_bytes > 0) == ("home", 3, True)
        assert [one.id async for one in api.vector_stores.list(limit=1)] == [store.id]
        await api.vector_stores.files.update(file.id, vector_store_id=store.id, attributes={"year": 1999})
        assert (await api.vector_stores.files.delete(bad.id, vector_store_id=store.id)).deleted
        assert (await api.vector_stores.delete(store.id)).deleted
        assert len([one async for one in api.files.list()]) == 3


async def test_the_purpose_may_come_after_the_file(served: Served, tmp_path: Path) -> None:
    assert (await post(served, form(CATS, first=False), 200))["bytes"] == len(CATS)
    assert len(contents(tmp_path)) == 1


@pytest.mark.parametrize(
    ("body", "content_type", "status", "words"),
    [
        (form(CATS, purpose=None), FORM, 400, "purpose"),
        (form(CATS, purpose="x"), FORM, 400, "purpose"),
        (form(CATS, name=""), FORM, 400, "filename"),
        (b"--XX--\r\n", FORM, 400, "file: required"),
        (form(CATS)[:-20], FORM, 400, ""),
        (form(CATS), "multipart/form-data", 400, "damaged"),
        (form(CATS), "multipart/form-data; boundary=YY", 400, ""),
        (form(CATS), "multipart/mixed; boundary=XX", 415, "multipart/form-data"),
        (b"{}", "application/json", 415, "multipart/form-data"),
        (form(CATS, purpose="x" * 5000), FORM, 400, "longer than"),
        (form(CATS)[:-8] + b"\r\n" + form(CATS), FORM, 400, "one at a time"),
        (b"", FORM, 400, ""),
        (b"\0" * 100_000, FORM, 400, ""),
        (b"--XX\r\n" + b"A" * 200_000, FORM, 400, ""),
        (form(CATS, name='; filename="a\x01.md"'), FORM, 400, "no header may have"),
        (form(CATS).replace(b"Content-Disposition:", b"Content Disposition:"), FORM, 400, "no header may have"),
    ],
)
async def test_a_wrong_form_is_a_400_and_nothing_stays(
    served: Served, tmp_path: Path, body: bytes, content_type: str, status: int, words: str
) -> None:
    answer = await post(served, body, status, content_type)
    assert words in answer["error"]["message"]
    assert contents(tmp_path) == []


async def test_json_routes_take_no_form(served: Served) -> None:
    await served.json("POST", "/v1/vector_stores", 415, data=form(CATS), headers={"Content-Type": FORM})


@pytest.mark.parametrize("announced", [True, False])
async def test_an_upload_that_is_too_large_is_stopped_early(served: Served, tmp_path: Path, announced: bool) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield form(b"")[: -len(b"\r\n--XX--\r\n")]
        while sent < 500_000_000:
            sent += 50_000
            yield bytes(50_000)

    length = {"Content-Length": "500000000"} if announced else {}
    try:
        async with served.client.post(
            served.url + "/v1/files", data=endless(), headers={"Content-Type": FORM, **length}
        ) as response:
            assert response.status == 413
            error = (await response.json())["error"]
            assert (error["code"], error["limit"]) == ("request_too_large", MAX_FILE)
    except aiohttp.ClientConnectionError:
        pass  # the answer went under because the client was still sending when the connection was closed
    assert sent < 500_000_000
    assert contents(tmp_path) == []


async def test_a_file_of_exactly_the_limit_is_taken(served: Served) -> None:
    assert (await post(served, form(b"x" * MAX_FILE), 200))["bytes"] == MAX_FILE
    await post(served, form(b"x" * (MAX_FILE + 1)), 413)


async def test_a_client_that_leaves_in_the_middle_leaves_nothing(served: Served, tmp_path: Path) -> None:
    _, writer = await asyncio.open_connection(*served.address)
    head = f"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nContent-Length: 90000\r\n\r\n"
    writer.write(head.encode() + form(bytes(40_000))[:-8])
    await writer.drain()
    async with asyncio.timeout(60):
        while not contents(tmp_path):
            writer.write(bytes(10))  # aiohttp reads a piece ahead
            await served.json("GET", "/healthz")
        writer.close()
        while contents(tmp_path):
            await served.json("GET", "/healthz")
    assert (await served.json("GET", "/v1/files"))["data"] == []


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("", {"expires_after": {"anchor": "last_active_at", "days": 1}}, "expires_after"),
        ("", {"chunking_strategy": {"type": "static"}}, "chunking_strategy.static"),
        ("", {"metadata": {"a": 1}}, "metadata"),
        ("/{store}/search", {"query": ""}, "query"),
        ("/{store}/search", {"query": "x", "max_num_results": 51}, "max_num_results"),
        ("/{store}/search", {"query": "x", "filters": {"type": "is"}}, "filters"),
        ("/{store}/file_batches", {}, "file_ids"),
        ("/{store}/files", {"file_id": "file-" + "0" * 24, "attributes": {"a": [1]}}, "attributes"),
    ],
)
async def test_a_wrong_request_names_the_field(served: Served, path: str, body: Any, param: str) -> None:
    store = (await served.json("POST", "/v1/vector_stores", json={}))["id"]
    error = (await served.json("POST", "/v1/vector_stores" + path.format(store=store), 400, json=body))["error"]
    assert error["param"].startswith(param)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=101", "order=up", "after=a&before=b", "limit=%F0%9F%98%80"]
)
async def test_a_wrong_page_is_a_400(served: Served, query: str) -> None:
    await served.json("GET", f"/v1/vector_stores?{query}", 400)


BODIES: dict[str, dict[str, Any]] = {
    "create_vector_store": {"file_ids": ["{file}"]},
    "change_vector_store": {"name": "stolen"},
    "search_vector_store": {"query": "kitten sofa"},
    "add_vector_store_file": {"file_id": "{file}"},
    "change_vector_store_file": {"attributes": {"a": "b"}},
    "create_file_batch": {"file_ids": ["{file}"]},
    "cancel_file_batch": {},
}
WITH_AN_ID = [
    route for route in DOCUMENTS if "{" in route.path or "{file}" in str(BODIES.get(route.handler.__name__, ""))
]


async def test_an_account_reaches_nothing_of_another(tmp_path: Path) -> None:
    """Every route that takes an id, in its path or its body, with every mixture of one's own ids and the other's."""
    keys = {name: "sha256:" + hashlib.sha256(name.encode()).hexdigest() for name in ("mine", "theirs")}
    async with library(tmp_path, key_hashes=tuple(keys.values())) as served:
        ids: dict[str, dict[str, str]] = {}
        for key in keys:
            async with client(served, key) as api:
                file = await api.files.create(file=(f"{key}.md", CATS), purpose="assistants")
                store = await api.vector_stores.create(name=key)
                batch = await api.vector_stores.file_batches.create_and_poll(
                    store.id, file_ids=[file.id], poll_interval_ms=20
                )
                ids[key] = {"file": file.id, "store": store.id, "batch": batch.id}
        before = await _everything(served, "theirs")
        assert len(WITH_AN_ID) > 15
        for route in WITH_AN_ID:
            body = json.dumps(BODIES.get(route.handler.__name__, {}))
            names = sorted(set(re.findall(r"\{(file|store|batch)\}", route.path + body)))
            for whose in itertools.product(keys, repeat=len(names)):
                if "theirs" not in whose:
                    continue
                values = {name: ids[who][name] for name, who in zip(names, whose, strict=True)}
                path = route.path.format(**values)
                sent = body.replace("{file}", values.get("file", ""))
                extra = (
                    {"data": sent, "headers": {"Content-Type": "application/json"}} if route.method == "POST" else {}
                )
                extra.setdefault("headers", {})["Authorization"] = "Bearer mine"
                async with served.client.request(route.method, served.url + path, **extra) as response:
                    text = await response.text()
                assert response.status == 404, (route.method, route.path, whose, text)
                assert "kitten" not in text
        for path in ("/v1/files", "/v1/vector_stores"):
            shown = await served.json("GET", path, headers={"Authorization": "Bearer mine"})
            assert not set(ids["theirs"].values()) & {one["id"] for one in shown["data"]}
            for query in (f"after={ids['theirs']['file']}", f"after={ids['theirs']['store']}"):
                await served.json("GET", f"{path}?{query}", 404, headers={"Authorization": "Bearer mine"})
        assert await _everything(served, "theirs") == before


async def _everything(served: Served, key: str) -> list[Any]:
    headers = {"Authorization": f"Bearer {key}"}
    stores = await served.json("GET", "/v1/vector_stores", headers=headers)
    files = await served.json("GET", "/v1/files", headers=headers)
    entries = [
        await served.json("GET", f"/v1/vector_stores/{store['id']}/files", headers=headers) for store in stores["data"]
    ]
    return [stores, files, entries]


async def test_without_a_database_it_says_so(served: Served) -> None:
    async with serve() as empty:
        error = (await empty.json("GET", "/v1/files", 503))["error"]
        assert error["code"] == "storage_unavailable"
    assert (await served.json("GET", "/v1/files"))["data"] == []

"""all-MiniLM-L6-v2 int8 through the real daemon and the real openai library, against the float model's vectors."""

from __future__ import annotations

import array
import base64
import json
import math
import os
import shutil
import signal
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ollama
import openai
import pytest
from fakes.daemon_process import DaemonProcess
from langchain_ollama import OllamaEmbeddings
from langchain_openai import OpenAIEmbeddings
from pydantic import SecretStr

from mongarsd.ground.settings import ModelSettings

MODEL = ModelSettings().embedding
REFERENCE = Path(__file__).parent.parent / "inference" / "onnx" / "data" / "reference.json"
COSINE = 0.98


@pytest.fixture(scope="module")
def embedding_daemon(embedding_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    folder = tmp_path_factory.mktemp("m")
    for kind in ("blobs", "manifests"):
        (folder / "s" / "models" / kind).mkdir(parents=True)
    manifest = json.loads((embedding_model / "models" / "manifests" / f"{MODEL}.json").read_text())
    for digest in (manifest["digest"], *(file["digest"] for file in manifest["files"].values())):
        name = digest.replace(":", "-")
        shutil.copy(embedding_model / "models" / "blobs" / name, folder / "s" / "models" / "blobs" / name)
    shutil.copy(embedding_model / "models" / "manifests" / f"{MODEL}.json", folder / "s" / "models" / "manifests")
    daemon = DaemonProcess(folder, fake=False, state="s", env={"MONGARSD_MODELS_PRELOAD": "0"})
    try:
        yield daemon
    finally:
        daemon.close()


@pytest.fixture(scope="module")
def embedding_url(embedding_daemon: DaemonProcess) -> str:
    host, port = embedding_daemon.ports[0]
    return f"http://{host}:{port}/v1"


@pytest.fixture(scope="module")
def embedding_client(embedding_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=embedding_url, api_key="none", max_retries=0) as client:
        yield client


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def test_the_vectors_are_those_of_the_float_model(embedding_client: openai.OpenAI) -> None:
    reference = json.loads(REFERENCE.read_text())
    raw = base64.b64decode(reference["vectors"])
    halves = list(struct.unpack(f"<{len(raw) // 2}e", raw))
    sentences = reference["sentences"]
    width = len(halves) // len(sentences)
    answer = embedding_client.embeddings.create(model=MODEL, input=sentences)
    cosines = [cosine(item.embedding, halves[item.index * width : (item.index + 1) * width]) for item in answer.data]
    print(f"mean cosine {sum(cosines) / len(cosines):.5f}, least {min(cosines):.5f}")  # noqa: T201
    assert len(cosines) == 100
    assert sum(cosines) / len(cosines) >= COSINE


def test_base64_and_floats_say_the_same(embedding_client: openai.OpenAI) -> None:
    default = embedding_client.embeddings.create(model=MODEL, input="hello world")
    floats = embedding_client.embeddings.create(model=MODEL, input="hello world", encoding_format="float")
    raw = embedding_client.embeddings.create(model=MODEL, input="hello world", encoding_format="base64")
    assert default.data[0].embedding == pytest.approx(floats.data[0].embedding, abs=1e-6)
    decoded = array.array("f", base64.b64decode(raw.data[0].embedding))  # type: ignore[arg-type]
    assert len(decoded) == 384
    assert decoded.tolist() == pytest.approx(floats.data[0].embedding, abs=1e-6)
    assert math.hypot(*decoded) == pytest.approx(1.0, abs=1e-5)
    assert floats.usage.prompt_tokens == floats.usage.total_tokens == 4


async def test_async_and_many_at_once(embedding_url: str) -> None:
    import asyncio

    async with openai.AsyncOpenAI(base_url=embedding_url, api_key="none", max_retries=0) as client:
        texts = [f"sentence number {number}" for number in range(24)]
        alone = await client.embeddings.create(model=MODEL, input=texts)
        answers = await asyncio.gather(*(client.embeddings.create(model=MODEL, input=text) for text in texts))
    for one, answer in zip(alone.data, answers, strict=True):
        assert cosine(one.embedding, answer.data[0].embedding) > 0.9999


def test_what_is_alike_is_near_and_a_long_text_is_cut(embedding_client: openai.OpenAI) -> None:
    texts = ["How do I bake bread?", "a recipe for a loaf", "the orbit of Jupiter", "word " * 5000]
    bread, loaf, jupiter, _ = (
        item.embedding for item in embedding_client.embeddings.create(model=MODEL, input=texts).data
    )
    assert cosine(bread, loaf) > cosine(bread, jupiter) + 0.2
    assert embedding_client.embeddings.create(model=MODEL, input=texts[3]).usage.prompt_tokens == 256


def ticks(pid: int) -> int:
    """Processor time that a process has had, in 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


async def test_a_worker_killed_in_the_middle_costs_a_pause(embedding_daemon: DaemonProcess, embedding_url: str) -> None:
    import asyncio

    texts = [f"The text number {number} is long enough to take its time. " * 8 for number in range(64)]
    async with openai.AsyncOpenAI(base_url=embedding_url, api_key="none", max_retries=0) as client:
        await client.embeddings.create(model=MODEL, input="wake up")
        status = await asyncio.to_thread(embedding_daemon.admin, "/admin/status")
        (pid,) = [model["pid"] for model in status["models"] if model["name"] == MODEL]
        before = ticks(pid)
        asked = asyncio.create_task(client.embeddings.create(model=MODEL, input=texts))
        for _ in range(10_000):
            if ticks(pid) > before + 5:  # 50 ms of some 1,000
                break
            await asyncio.sleep(0.005)
        assert not asked.done()
        os.kill(pid, signal.SIGKILL)
        answer = await asked
        again = await client.embeddings.create(model=MODEL, input=texts[17])
    assert len(answer.data) == len(texts)
    assert cosine(answer.data[17].embedding, again.data[0].embedding) > 0.9999


def test_the_ollama_library_gets_the_same_vectors(embedding_client: openai.OpenAI, embedding_url: str) -> None:
    texts = ["How do I bake bread?", "the orbit of Jupiter"]
    expected = embedding_client.embeddings.create(model=MODEL, input=texts, encoding_format="float").data
    with ollama.Client(embedding_url.removesuffix("/v1")) as client:
        answer = client.embed(MODEL, texts, keep_alive=-1)
        single = client.embeddings(MODEL, texts[0])
        short = client.embed(MODEL, texts[0], dimensions=100).embeddings[0]
        long = "orbit " * 5000
        assert client.embed(MODEL, long).prompt_eval_count == 256, "its end is cut off"
        with pytest.raises(ollama.ResponseError, match="the input length exceeds the context length") as refused:
            client.embed(MODEL, [texts[0], long], truncate=False)
        assert refused.value.status_code == 400
        with pytest.raises(ollama.ResponseError, match="does not support chat"):
            client.chat(MODEL, [{"role": "user", "content": texts[0]}])
    for one, vector in zip(expected, answer.embeddings, strict=True):
        assert vector == pytest.approx(one.embedding, abs=1e-6)
    assert cosine(list(single.embedding), list(answer.embeddings[0])) > 0.9999
    assert answer.prompt_eval_count
    assert len(short) == 100
    assert math.hypot(*short) == pytest.approx(1.0)
    assert cosine(list(short), list(answer.embeddings[0][:100])) > 0.9999


def test_errors_of_the_library(embedding_client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        embedding_client.embeddings.create(model=MODEL, input="a", dimensions=100)
    with pytest.raises(openai.BadRequestError, match="texts"):
        embedding_client.embeddings.create(model=MODEL, input=[1, 2])
    with pytest.raises(openai.NotFoundError):
        embedding_client.embeddings.create(model="text-embedding-3-small", input="a")


def test_langchain(embedding_url: str) -> None:
    """With each of its doors."""
    texts = ["How do I bake bread?", "a recipe for a loaf"]
    named: Any = {"base_url": embedding_url, "api_key": SecretStr("none"), "model": MODEL, "max_retries": 0}
    through_openai = OpenAIEmbeddings(**named, check_embedding_ctx_length=False).embed_documents(texts)
    ollama_door = OllamaEmbeddings(base_url=embedding_url.removesuffix("/v1"), model=MODEL)
    try:
        through_ollama = ollama_door.embed_documents(texts)
    finally:  # it does not do so itself
        ollama_door._client.close()
    for one, other in zip(through_openai, through_ollama, strict=True):
        assert one == pytest.approx(other, abs=1e-6)

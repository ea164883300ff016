from __future__ import annotations

import base64
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakes.executor import FakeExecutor
from fakes.models import TINY
from fakes.served import Served, fake_parts, serve

from mongarsd.daemon.embedder import Embedder
from mongarsd.ground.errors import Busy, ErrorInfo, MongarsError
from mongarsd.ground.job import Embedded, Event, Failed, Finished, FinishReason, Job, Priority, Started, Usage
from mongarsd.ground.status import ModelStatus

VECTORS = ModelStatus(name="vectors", digest="sha256:" + "2" * 64, size=9, kind="embedding", dimensions=2)


class EmbeddingExecutor(FakeExecutor):
    """A text's vector is its length and 0.5."""

    async def run(self, job: Job) -> AsyncIterator[Event]:
        self.jobs.append(job)
        if self.refuse:
            raise self.refuse
        texts = job.embed or ()
        yield Started(job.id, "fake", 0.0, sum(map(len, texts)))
        if self.fail:
            yield Failed(job.id, self.fail)
            return
        if self.reason is FinishReason.STOP:
            yield Embedded(job.id, b"".join(struct.pack("<2f", len(text), 0.5) for text in texts), 2)
        yield Finished(job.id, self.reason, Usage(1, 0))


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    parts = fake_parts(EmbeddingExecutor())
    parts.models.models |= {"vectors": VECTORS}  # type: ignore[attr-defined]
    async with serve(parts=parts) as running:
        yield running


async def embed(served: Served, status: int = 200, **fields: Any) -> Any:
    return await served.json("POST", "/v1/embeddings", status, json={"model": "vectors", **fields})


async def test_one_text(served: Served) -> None:
    assert await embed(served, input="hello") == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [5.0, 0.5]}],
        "model": "vectors",
        "usage": {"prompt_tokens": 5, "total_tokens": 5},
    }
    (job,) = served.executor.jobs
    assert (job.embed, job.model, job.priority) == (("hello",), VECTORS.digest, Priority.INTERACTIVE)


async def test_several_texts_keep_their_order_in_one_job(served: Served) -> None:
    answer = await embed(served, input=["a", "bb", "ccc"], dimensions=2, priority="batch", user="somebody")
    assert [item["embedding"][0] for item in answer["data"]] == [1.0, 2.0, 3.0]
    assert [item["index"] for item in answer["data"]] == [0, 1, 2]
    assert [job.priority for job in served.executor.jobs] == [Priority.BATCH]


async def test_base64_is_little_endian_float32(served: Served) -> None:
    answer = await embed(served, input=["a", "bb"], encoding_format="base64")
    assert struct.unpack("<2f", base64.b64decode(answer["data"][1]["embedding"])) == (2.0, 0.5)


async def test_as_many_texts_as_openai_takes(served: Served) -> None:
    assert len((await embed(served, input=["a"] * 2048))["data"]) == 2048
    await embed(served, 400, input=["a"] * 2049)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": [1, 2, 3]}, "input"),
        ({"input": [[1, 2], [3]]}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": "a", "dimensions": 1}, "dimensions"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "model": "tiny"}, "model"),
    ],
)
async def test_what_cannot_be_done_is_refused_before_a_job_is_made(
    served: Served, fields: dict[str, Any], param: str
) -> None:
    answer = await embed(served, 400, **fields)
    assert answer["error"]["param"] == param
    assert served.executor.jobs == []


async def test_an_unknown_model(served: Served) -> None:
    assert (await embed(served, 404, input="a", model="nobody"))["error"]["param"] == "model"
    assert (await embed(served, 404, input="a", model=None))["error"]["code"] == "model_not_found", "models.embedding"


async def test_an_embedding_model_answers_nothing(served: Served) -> None:
    assert "/v1/embeddings" in (await served.chat(400, model="vectors"))["error"]["message"]


async def test_the_list_says_what_a_model_is_for(served: Served) -> None:
    models = {model["id"]: model for model in (await served.json("GET", "/v1/models"))["data"]}
    assert (models["vectors"]["kind"], models["vectors"]["dimensions"]) == ("embedding", 2)
    assert models[TINY.name]["kind"] == "chat"
    assert "dimensions" not in models[TINY.name]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"refuse": Busy("full", retry_after=3)}, 503),
        ({"fail": ErrorInfo("invalid_model", "no numbers")}, 400),
        ({"reason": FinishReason.DEADLINE}, 504),
        ({"reason": FinishReason.CANCELLED}, 503),
    ],
)
async def test_failures_have_their_status(served: Served, changes: dict[str, Any], status: int) -> None:
    for name, value in changes.items():
        setattr(served.executor, name, value)
    await embed(served, status, input="a")


async def test_the_other_rooms_get_vectors_without_http() -> None:
    executor = EmbeddingExecutor()
    embedder = Embedder(executor, lambda: "vectors")
    assert await embedder([]) == []
    assert await embedder(["a", "bb"]) == [struct.pack("<2f", 1, 0.5), struct.pack("<2f", 2, 0.5)]
    assert [(job.model, job.priority) for job in executor.jobs] == [("vectors", Priority.BATCH)]
    executor.reason = FinishReason.LENGTH
    with pytest.raises(MongarsError):
        await embedder(["a"])

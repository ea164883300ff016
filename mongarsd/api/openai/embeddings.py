"""POST /v1/embeddings"""

from __future__ import annotations

import base64
import secrets
from array import array
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal, TypeVar, cast

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from mongarsd.api.body import decode
from mongarsd.api.credentials import account
from mongarsd.api.openai.answer import json
from mongarsd.api.parts import PARTS
from mongarsd.ground.errors import BadRequest, Busy, DeadlineExceeded, ModelNotFound, MongarsError, from_info
from mongarsd.ground.executor import Executor
from mongarsd.ground.job import Embedded, Event, Failed, Finished, FinishReason, Job, Priority, Ranked, Started
from mongarsd.ground.status import ModelStatus

MAX_INPUTS = 2048  # OpenAI's
DOES = {"chat": "answers", "rerank": "ranks documents", "embedding": "makes embeddings"}


class EmbeddingRequest(Struct, frozen=True, kw_only=True):
    """`dimensions` must be the model's own: shortening is honest only for models that were trained for it."""

    model: Annotated[str, Meta(max_length=256)] | None = None  # absent = models.embedding
    input: str | Annotated[list[str | int | list[int]], Meta(min_length=1, max_length=MAX_INPUTS)]  # texts only
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    priority: Priority | None = None


class EmbeddingObject(Struct, frozen=True, kw_only=True):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str  # base64 of little-endian 32-bit floats


class EmbeddingUsage(Struct, frozen=True, kw_only=True):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: list[EmbeddingObject]
    model: str
    usage: EmbeddingUsage


#: The event with a job's whole result.
Found = TypeVar("Found", Embedded, Ranked)

_decoder = msgspec.json.Decoder(EmbeddingRequest)


async def embeddings(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    body = await decode(request, _decoder)
    texts = _texts(body.input)
    try:
        model = parts.models.get(body.model or parts.settings.models.embedding)
    except ModelNotFound as error:
        error.param = "model"
        raise
    _check(model, body.dimensions)
    parts.used.add(model)
    job = Job(
        id=secrets.token_hex(16),
        model=model.digest,
        embed=texts,
        priority=body.priority or Priority.INTERACTIVE,
        account=account(request),
    )
    found, tokens = await embed(parts.metered, job)
    return json(
        EmbeddingList(
            data=[
                EmbeddingObject(index=index, embedding=_written(vector, body.encoding_format))
                for index, vector in enumerate(split(found))
            ],
            model=model.name,
            usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
        )
    )


async def embed(executor: Executor, job: Job) -> tuple[Embedded, int]:
    """The vectors, and how many tokens were read. Raises MongarsError; cancelled with its caller."""
    return await answered(executor, job, Embedded)


async def answered(executor: Executor, job: Job, kind: type[Found]) -> tuple[Found, int]:
    """The job's one event of this kind, and how many tokens were read. Raises MongarsError."""
    found: Found | None = None
    tokens = 0
    async with aclosing(cast(AsyncGenerator[Event, None], executor.run(job))) as events:
        async for event in events:
            if isinstance(event, Started):
                tokens = event.prompt
            elif isinstance(event, kind):
                found = event
            elif isinstance(event, Failed):
                raise from_info(event.error)
            elif isinstance(event, Finished):
                if event.reason is FinishReason.DEADLINE:
                    raise DeadlineExceeded("the time for this job was up")
                if event.reason is FinishReason.CANCELLED:
                    raise Busy("the job was stopped: its model is being unloaded", retry_after=5.0)
    if found is None:
        raise MongarsError("the job ended without a result")
    return found, tokens


def split(found: Embedded) -> list[bytes]:
    """One vector for each text, little-endian float32."""
    width = found.dimensions * 4
    return [found.vectors[start : start + width] for start in range(0, len(found.vectors), width)]


def _texts(given: str | list[Any]) -> tuple[str, ...]:
    """Raises BadRequest."""
    texts = [given] if isinstance(given, str) else given
    for index, text in enumerate(texts):
        where = "input" if isinstance(given, str) else f"input[{index}]"
        if not isinstance(text, str):
            raise BadRequest(
                f"{where}: tokens are numbers of one model's own vocabulary, and clients send those of OpenAI's: send "
                "texts (LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False))",
                param="input",
            )
        if not text:
            raise BadRequest(f"{where}: an empty text has no meaning to embed", param=where)
    return tuple(texts)


def _check(model: ModelStatus, dimensions: int | None) -> None:
    """Raises BadRequest before anything is loaded."""
    if model.kind != "embedding":
        raise BadRequest(
            f"model: {model.name} {DOES[model.kind]} and makes no embeddings: name an embedding model "
            "(all-minilm-l6-v2)",
            param="model",
        )
    if dimensions is not None and dimensions != model.dimensions:
        raise BadRequest(
            f"dimensions: {model.name} gives {model.dimensions} and was not trained to be shortened", param="dimensions"
        )


def _written(vector: bytes, form: str | None) -> list[float] | str:
    if form == "base64":
        return base64.b64encode(vector).decode()
    return array("f", vector).tolist()

"""POST /v1/rerank: how well each document answers a query. The shape is Jina's and Cohere's; OpenAI has none."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType

from mongarsd.api.body import decode
from mongarsd.api.credentials import account
from mongarsd.api.openai.answer import json
from mongarsd.api.openai.embeddings import DOES, answered
from mongarsd.api.parts import PARTS
from mongarsd.ground.errors import BadRequest, ModelNotFound
from mongarsd.ground.job import Job, Priority, Ranked, Rerank
from mongarsd.ground.status import ModelStatus

MAX_DOCUMENTS = 2048
MAX_QUERY = 32_768  # characters; what has more tokens than half the model's context is refused by the model


class RerankText(Struct, frozen=True):
    text: str


class RerankRequest(Struct, frozen=True, kw_only=True):
    """A document that is too long for the model is read from its beginning, as far as there is room."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    query: Annotated[str, Meta(min_length=1, max_length=MAX_QUERY)]
    documents: Annotated[list[str | RerankText], Meta(min_length=1, max_length=MAX_DOCUMENTS)]
    top_n: Annotated[int, Meta(ge=1)] | None = None  # absent = all
    return_documents: bool | None = None  # absent = false
    priority: Priority | None = None


class RerankResult(Struct, frozen=True, kw_only=True):
    index: int  # in the request's documents
    relevance_score: float  # 0 to 1
    document: RerankText | UnsetType = UNSET


class RerankUsage(Struct, frozen=True, kw_only=True):
    prompt_tokens: int
    total_tokens: int


class RerankAnswer(Struct, frozen=True, kw_only=True):
    """The best document first."""

    model: str
    object: Literal["list"] = "list"
    usage: RerankUsage
    results: list[RerankResult]


_decoder = msgspec.json.Decoder(RerankRequest)


async def rerank(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    body = await decode(request, _decoder)
    texts = tuple(document if isinstance(document, str) else document.text for document in body.documents)
    try:
        model = parts.models.get(body.model)
    except ModelNotFound as error:
        error.param = "model"
        raise
    _check(model)
    parts.used.add(model)
    job = Job(
        id=secrets.token_hex(16),
        model=model.digest,
        rerank=Rerank(body.query, texts),
        priority=body.priority or Priority.INTERACTIVE,
        account=account(request),
    )
    found, tokens = await answered(parts.metered, job, Ranked)
    return json(
        RerankAnswer(
            model=model.name,
            usage=RerankUsage(prompt_tokens=tokens, total_tokens=tokens),
            results=[
                RerankResult(
                    index=index,
                    relevance_score=found.scores[index],
                    document=RerankText(texts[index]) if body.return_documents else UNSET,
                )
                for index in best(found.scores)[: body.top_n]
            ],
        )
    )


async def reranking(request: web.Request) -> web.Response:
    """llama-server's other name for it."""
    return await rerank(request)


def best(scores: Sequence[float]) -> list[int]:
    """Their places, highest first; equals in their order."""
    return sorted(range(len(scores)), key=lambda index: -scores[index])


def _check(model: ModelStatus) -> None:
    """Raises BadRequest before anything is loaded."""
    if model.kind != "rerank":
        raise BadRequest(
            f"model: {model.name} {DOES[model.kind]} and ranks nothing: name a reranker (such as bge-reranker-v2-m3 as "
            "GGUF, or an ONNX cross-encoder with one logit)",
            param="model",
        )

"""POST /api/embed, and /api/embeddings, its old form"""

from __future__ import annotations

import math
import secrets
from array import array

import msgspec
from aiohttp import web

from mongarsd.api.body import decode
from mongarsd.api.credentials import account
from mongarsd.api.ollama.answers import OllamaVector, OllamaVectors
from mongarsd.api.ollama.find import find, need
from mongarsd.api.ollama.keep_alive import keeping, seconds
from mongarsd.api.ollama.requests import KeepAlive, OllamaEmbed, OllamaEmbeddings
from mongarsd.api.ollama.times import nanoseconds
from mongarsd.api.ollama.truncation import too_long
from mongarsd.api.openai.answer import json
from mongarsd.api.openai.embeddings import embed, split
from mongarsd.api.parts import PARTS
from mongarsd.ground.errors import BadRequest
from mongarsd.ground.job import Job
from mongarsd.ground.status import ModelStatus

_embed_decoder = msgspec.json.Decoder(OllamaEmbed)
_embeddings_decoder = msgspec.json.Decoder(OllamaEmbeddings)


async def ollama_embed(request: web.Request) -> web.Response:
    body = await decode(request, _embed_decoder)
    begin = request.app[PARTS].clock.monotonic()
    model = _model(request, body.model)
    texts = [body.input] if isinstance(body.input, str) else body.input
    texts = texts if any(texts) else []
    vectors, tokens = await _vectors(request, model, texts, body.keep_alive, whole=body.truncate is False)
    if body.dimensions:
        vectors = [shortened(vector, body.dimensions) for vector in vectors]
    total = nanoseconds(request.app[PARTS].clock.monotonic() - begin)
    return json(
        OllamaVectors(
            model=body.model, embeddings=vectors, total_duration=total, load_duration=0, prompt_eval_count=tokens
        )
    )


async def ollama_embeddings(request: web.Request) -> web.Response:
    body = await decode(request, _embeddings_decoder)
    model = _model(request, body.model)
    vectors, _ = await _vectors(request, model, [body.prompt] if body.prompt else [], body.keep_alive)
    return json(OllamaVector(embedding=vectors[0] if vectors else []))


async def _vectors(
    request: web.Request, model: ModelStatus, texts: list[str], keep_alive: KeepAlive | None, *, whole: bool = False
) -> tuple[list[list[float]], int]:
    """Of length 1 each, and the tokens that were read. No text: nothing is computed, but the model is loaded. Raises
    ContextOverflow if texts should be read in `whole` and cannot."""
    parts = request.app[PARTS]
    if empty := [i for i, text in enumerate(texts) if not text]:
        raise BadRequest(f"input[{empty[0]}]: an empty text has no meaning to embed", param=f"input[{empty[0]}]")
    kept = seconds(keep_alive)
    with keeping(parts, model, kept):
        if not texts:
            await parts.models.load(model.name)
            return [], 0
        job = Job(
            id=secrets.token_hex(16), model=model.digest, embed=tuple(texts), whole=whole, account=account(request)
        )
        with too_long():
            found, tokens = await embed(parts.metered, job)
    return [array("f", vector).tolist() for vector in split(found)], tokens


def shortened(vector: list[float], most: int) -> list[float]:
    """Its first `most` numbers, of length 1 again. Good for models that were trained for it (Matryoshka)."""
    if most >= len(vector):
        return vector
    length = math.hypot(*vector[:most]) or 1.0
    return [number / length for number in vector[:most]]


def _model(request: web.Request, name: str) -> ModelStatus:
    model = find(request, name)
    need(model, name, "embeddings", "embedding")
    return model

"""POST /api/pull, /api/create and /api/copy, DELETE /api/delete: what changes the models of the node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, NoReturn, cast

import msgspec
from aiohttp import web

from mongarsd.api.audit import target
from mongarsd.api.body import decode
from mongarsd.api.connection import address
from mongarsd.api.ollama.answers import OllamaProgress
from mongarsd.api.ollama.decoding import Decoder
from mongarsd.api.ollama.find import find, named
from mongarsd.api.ollama.jobs import max_tokens_of, sampling_of
from mongarsd.api.ollama.lines import LineStream
from mongarsd.api.ollama.messages import chat_messages
from mongarsd.api.ollama.requests import OllamaCopy, OllamaCreate, OllamaNamed, OllamaPull
from mongarsd.api.openai.answer import json
from mongarsd.api.openai.jobs import Order, chat_jobs, stops
from mongarsd.api.openai.requests import ChatRequest
from mongarsd.api.parts import PARTS
from mongarsd.ground.errors import BadRequest, Forbidden, ModelNotFound, NotFound
from mongarsd.ground.preset import Preset

_pull = msgspec.json.Decoder(OllamaPull)
_create = Decoder(OllamaCreate)
_copy = msgspec.json.Decoder(OllamaCopy)
_delete = msgspec.json.Decoder(OllamaNamed)


async def ollama_pull(request: web.Request) -> web.StreamResponse:
    body = await decode(request, _pull)
    ref = named(body)
    target(request, ref)
    if ref.startswith("file:") and address(request.transport):
        raise Forbidden("files are installed on the machine itself: mongarsctl models pull file:/PATH", param="model")
    return await _progress(request, _pulled(request, ref), body.stream)


async def ollama_create(request: web.Request) -> web.StreamResponse:
    body = await decode(request, _create)
    name = named(body)
    target(request, name)
    preset = _preset(request, body)

    async def steps() -> AsyncIterator[OllamaProgress]:
        yield OllamaProgress(status="writing manifest")
        await request.app[PARTS].models.preset(name, preset)
        yield OllamaProgress(status="success")

    return await _progress(request, steps(), body.stream)


async def ollama_copy(request: web.Request) -> web.Response:
    body = await decode(request, _copy)
    target(request, f"{body.source} to {body.destination}")
    find(request, body.source, "source")
    await request.app[PARTS].models.copy(body.source, body.destination)
    return web.Response()


async def ollama_delete(request: web.Request) -> web.Response:
    """A loaded model leaves the memory first."""
    name = named(await decode(request, _delete))
    target(request, name)
    model = find(request, name)
    models = request.app[PARTS].models
    if not (model.preset or model.base):
        await models.unload(model.digest)
    await models.remove(name)
    return web.Response()


async def ollama_push(request: web.Request) -> NoReturn:  # noqa: ARG001
    raise BadRequest("push: this node publishes nothing; its models stay where they are")


async def ollama_blob(request: web.Request) -> NoReturn:  # noqa: ARG001
    raise NotFound("there are no blobs to fetch here")


async def ollama_upload(request: web.Request) -> NoReturn:  # noqa: ARG001
    raise BadRequest(
        "files are not uploaded here: install one on the machine (mongarsctl models pull file:/PATH), then create "
        "from it"
    )


async def _pulled(request: web.Request, ref: str) -> AsyncIterator[OllamaProgress]:
    """What is installed already is not fetched again, as nobody here knows a newer one under the same name."""
    models = request.app[PARTS].models
    yield OllamaProgress(status="pulling manifest")
    try:
        found = find(request, ref)
    except ModelNotFound:
        found = None
    if found and (found.preset or not _newer(request, ref)):
        yield OllamaProgress(status=f"pulling {found.digest[7:19]}", digest=found.digest, total=found.size)
        yield OllamaProgress(status="success")
        return
    async with aclosing(cast(Any, models.pull(ref.removesuffix(":latest"), None))) as steps:
        async for step in steps:
            yield OllamaProgress(
                status=step.status, digest=step.digest or "", total=step.total or 0, completed=step.completed or 0
            )


def _newer(request: web.Request, ref: str) -> bool:
    """May there be a newer one? A pull brings the catalogue's models up to date, where the node may use the network."""
    if request.app[PARTS].settings.models.offline:
        return False
    return any(entry.name == ref.removesuffix(":latest") for entry in request.app[PARTS].models.available())


async def _progress(
    request: web.Request, steps: AsyncIterator[OllamaProgress], stream: bool | None
) -> web.StreamResponse:
    """A failure before the first line has its status, a later one is the last line."""
    source = cast(Any, steps)
    if stream is False:
        async with aclosing(source):
            last = [step async for step in source][-1]
        return json(last)
    out = LineStream(request, 0, b"")
    async with out, aclosing(source):
        async for step in source:
            await out.send(msgspec.json.encode(step) + b"\n")
    return out.response


def _preset(request: web.Request, body: OllamaCreate) -> Preset:
    """Raises BadRequest, ModelNotFound."""
    for name in ("files", "adapters", "quantize", "modelfile"):
        if getattr(body, name):
            raise BadRequest(
                f"{name}: models are made from those that are installed (`from`), with system, messages and parameters",
                param=name,
            )
    if body.template:
        raise BadRequest(
            "template: this server renders a model's own Jinja template, not Ollama's Go templates", param="template"
        )
    if not body.from_:
        raise BadRequest("from: required, and missing: the model to make it from", param="from")
    base = find(request, body.from_, "from")
    before = base.preset or Preset(model=base.digest, parent=base.name)
    options = body.parameters
    stop = before.stop if options is None or options.stop is None else options.stop
    messages = before.messages
    if body.messages is not None:
        (examples,) = chat_jobs(ChatRequest(messages=chat_messages(body.messages)), Order(before.model, "", 1))
        messages = examples.messages or ()
    return Preset(
        model=before.model,
        parent=before.parent,
        system=before.system if body.system is None else body.system,
        messages=messages,
        sampling=before.sampling | sampling_of(options),
        stop=stops(stop),
        max_tokens=max_tokens_of(options) or before.max_tokens,
        licence="\n".join([body.license] if isinstance(body.license, str) else body.license or []) or before.licence,
    )

"""GET /api/version, /api/tags and /api/ps, POST /api/show: none of them asks a worker, so all answer at once."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from aiohttp import web
from msgspec import UNSET

from mongarsd.api.body import decode
from mongarsd.api.ollama.answers import (
    OllamaDetails,
    OllamaModel,
    OllamaPs,
    OllamaRunning,
    OllamaShown,
    OllamaTags,
    OllamaVersion,
)
from mongarsd.api.ollama.find import find, named, tagged
from mongarsd.api.ollama.requests import OllamaNamed
from mongarsd.api.ollama.times import NEVER, stamp
from mongarsd.api.openai.answer import json
from mongarsd.api.parts import PARTS
from mongarsd.ground.status import ModelStatus

#: The first of Ollama's versions with all that is answered here (logprobs came last). Clients look for a least one.
OLLAMA_VERSION = "0.12.11"

_decoder = msgspec.json.Decoder(OllamaNamed)


async def ollama_version(request: web.Request) -> web.Response:
    return json(OllamaVersion(version=OLLAMA_VERSION, mongarsd=request.app[PARTS].version))


async def ollama_tags(request: web.Request) -> web.Response:
    models = [model for model in request.app[PARTS].models.list() if model.digest]
    return json(OllamaTags(models=[_listed(model, _names(models)) for model in models]))


async def ollama_ps(request: web.Request) -> web.Response:
    """Each loaded model under every name that it was used by since it was loaded, under its own if by none. Ollama has
    only the name that loaded it, and whoever uses another is told that it is not in memory."""
    parts = request.app[PARTS]
    models = parts.models.list()
    names, now = _names(models), parts.clock.wall()
    loaded = {
        model.digest: model
        for model in reversed(models)
        if model.state in ("ready", "restarting") and not model.preset and not model.base
    }
    lines = []
    for model in reversed(loaded.values()):
        used = parts.used.of(model)
        known = [one for one in models if one.name in used and (one.base or one.digest) == model.digest]
        lines += [_running(one, model, names, now) for one in known or [model]]
    return json(OllamaPs(models=lines))


async def ollama_show(request: web.Request) -> web.Response:
    name = named(await decode(request, _decoder))
    model = find(request, name)
    models = request.app[PARTS].models
    card = await models.card(model.name)
    preset = model.preset
    return json(
        OllamaShown(
            license=(preset and preset.licence) or model.licence,
            modelfile=_modelfile(model),
            parameters=_parameters(model),
            template=card.template,
            system=(preset and preset.system) or UNSET,
            details=_details(model, _names(models.list())),
            messages=[{"role": m.role, "content": m.content} for m in preset.messages] if preset else UNSET,
            model_info=_info(model, card.info),
            # Typed clients refuse a word that Ollama does not have, and then the whole list of models (JetBrains Koog).
            capabilities=tuple(one for one in model.capabilities if one != "rerank"),
            modified_at=stamp(model.modified),
        )
    )


def _info(model: ModelStatus, told: dict[str, Any]) -> dict[str, Any]:
    """What the file says of itself, and what editors look for: a name to show, and how much they may send, which is
    the context that is loaded, while one is."""
    length = f"{told.get('general.architecture', model.architecture)}.context_length"
    room = model.context or told.get(length) or model.context_length
    return {"general.basename": model.name, **told} | ({length: room} if room else {})


def _listed(model: ModelStatus, names: dict[str, str]) -> OllamaModel:
    name = tagged(model.name)
    return OllamaModel(
        name=name,
        model=name,
        modified_at=stamp(model.modified),
        size=model.size,
        digest=_digest(model),
        details=_details(model, names),
    )


def _running(model: ModelStatus, loaded: ModelStatus, names: dict[str, str], now: float) -> OllamaRunning:
    """`loaded` is the file in memory, `model` what it is used as."""
    name = tagged(model.name)
    left = loaded.keep_alive if loaded.expires_in is None else loaded.expires_in  # while it is busy: from its end
    return OllamaRunning(
        name=name,
        model=name,
        size=loaded.memory or loaded.size,
        digest=_digest(model),
        details=_details(model, names),
        expires_at=stamp(now + left) if left >= 0 else NEVER,
        size_vram=0,
        context_length=loaded.context,
    )


def _names(models: list[ModelStatus]) -> dict[str, str]:
    """By digest."""
    return {model.digest: model.name for model in reversed(models) if not model.preset}


def _digest(model: ModelStatus) -> str:
    """Hex. A preset's is its own: with the same weights it is another model."""
    if model.preset:
        return hashlib.sha256(msgspec.json.encode(model.preset, order="sorted")).hexdigest()
    return model.digest.removeprefix("sha256:")


def _details(model: ModelStatus, names: dict[str, str]) -> OllamaDetails:
    parent = names.get(model.preset.model if model.preset else model.base, "")
    return OllamaDetails(
        parent_model=tagged(parent) if parent else "",
        format="onnx" if model.architecture == "onnx" else "gguf",
        family=model.architecture,
        families=[model.architecture],
        parameter_size=_short(model.parameters),
        quantization_level=model.quantization,
    )


def _short(parameters: int) -> str:
    """As Ollama writes them: 134.52M, 1.2B."""
    if parameters >= 10**9:
        return f"{parameters / 1e9:.1f}B"
    return f"{parameters / 1e6:.2f}M" if parameters >= 10**6 else f"{parameters / 1e3:.2f}K"


def _parameters(model: ModelStatus) -> str:
    """A line for each, as Ollama shows a Modelfile's."""
    if not (preset := model.preset):
        return ""
    pairs = [*preset.sampling.items(), *(("stop", msgspec.json.encode(text).decode()) for text in preset.stop)]
    if preset.max_tokens is not None:
        pairs.append(("num_predict", preset.max_tokens))
    return "\n".join(f"{name:<30} {value}" for name, value in sorted(pairs, key=lambda pair: pair[0]))


def _modelfile(model: ModelStatus) -> str:
    preset = model.preset
    lines = [f"FROM {preset.parent if preset else model.name}"]
    if preset:
        lines += [f"PARAMETER {' '.join(line.split(None, 1))}" for line in _parameters(model).splitlines()]
        lines += [f'SYSTEM """{preset.system}"""'] if preset.system else []
        lines += [f'MESSAGE {message.role} """{message.content}"""' for message in preset.messages]
    return "\n".join(lines) + "\n"

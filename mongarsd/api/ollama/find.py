"""Which model a request means, and what the model can do, in Ollama's words."""

from __future__ import annotations

from aiohttp import web

from mongarsd.api.ollama.requests import OllamaNamed
from mongarsd.api.parts import PARTS
from mongarsd.ground.errors import BadRequest, ModelNotFound
from mongarsd.ground.status import ModelStatus


def find(request: web.Request, name: str, param: str = "model") -> ModelStatus:
    """Raises ModelNotFound with the sentence that clients look for."""
    try:
        return request.app[PARTS].models.get(name)
    except ModelNotFound:
        raise ModelNotFound(f"model '{name[:128]}' not found", param=param) from None


def named(body: OllamaNamed) -> str:
    """Raises BadRequest."""
    if not (name := body.model or body.name):
        raise BadRequest("model: required, and missing", param="model")
    return name


def tagged(name: str) -> str:
    """Ollama's names always have a tag; clients compare them so."""
    return name if ":" in name else f"{name}:latest"


def need(model: ModelStatus, name: str, verb: str, capability: str = "completion") -> None:
    """Raises BadRequest."""
    if capability not in model.capabilities:
        raise BadRequest(f'"{name}" does not support {verb}', param="model")

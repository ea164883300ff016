"""GET /v1/models and /v1/models/{id}"""

from __future__ import annotations

import msgspec
from aiohttp import web

from mongarsd.api.openai.answer import json
from mongarsd.api.openai.answers import Model, ModelList
from mongarsd.api.parts import PARTS
from mongarsd.ground.status import ModelStatus


async def openai_models(request: web.Request) -> web.Response:
    return json(ModelList(data=[_model(status) for status in request.app[PARTS].models.list()]))


async def openai_model(request: web.Request) -> web.Response:
    return json(_model(request.app[PARTS].models.get(request.match_info["id"])))


def _model(status: ModelStatus) -> Model:
    return Model(
        id=status.name,
        created=int(status.modified),
        digest=status.digest,
        parent=status.name.rpartition(":")[0] if status.base else msgspec.UNSET,
        state=status.state,
        size=status.size,
        architecture=status.architecture,
        parameters=status.parameters,
        quantization=status.quantization,
        kind=status.kind,
        capabilities=status.capabilities,
        dimensions=status.dimensions or msgspec.UNSET,
        context_length=status.context or status.context_length,
        licence=status.licence,
    )

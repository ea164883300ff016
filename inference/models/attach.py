"""Which of the installed models an adapter belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.models.container import open_container
from mongarsd.inference.models.lora import check_fits
from mongarsd.inference.models.manifest import InstalledModel


def base_of(name: str) -> str:
    """The model's part of an adapter's name; "" if it is a model's."""
    return name.rpartition(":")[0]


def attach(adapter: Path, models: Sequence[InstalledModel], own: str) -> InstalledModel:
    """The one of the models that the adapter fits. Raises BadRequest with what is in the way, InvalidModel."""
    file = open_container(adapter)
    fitting: list[InstalledModel] = []
    why = "no model is installed"
    for model in models:
        try:
            if model.format != "gguf" or model.kind != "chat":
                raise BadRequest(f"{model.name} takes no adapters: only GGUF models that answer do", param="name")
            check_fits(file, open_container(model.path))
            fitting.append(model)
        except BadRequest as error:
            why = error.message
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(model.name for model in fitting)
        raise BadRequest(f"the adapter fits several models ({names}): name it MODEL:{own}", param="name")
    if len(models) > 1:
        why = f"none of the installed models ({', '.join(model.name for model in models)}) fits it"
    raise BadRequest(f"{why}: pull the adapter's base model first, or choose another adapter", param="ref")

"""Is the default model of use? One sentence why not, or ""; asked by /readyz every few seconds."""

from __future__ import annotations

from collections.abc import Callable

from mongarsd.daemon.default_model import DefaultModel
from mongarsd.daemon.models import NodeModels
from mongarsd.ground.errors import MongarsError


class ModelCheck:
    """`fits` raises DoesNotFit for a model that could not be loaded."""

    def __init__(self, name: str, models: NodeModels, default: DefaultModel, fits: Callable[[str], object]) -> None:
        self._name, self._models, self._default, self._fits = name, models, default, fits

    def __call__(self) -> str:
        try:
            model = self._models.get(self._name)
            if model.state == "on_disk":  # usable: a request would load it
                self._fits(model.digest)
                return "the model is about to be loaded" if self._default.preloading else ""
        except MongarsError as error:
            return self._default.obstacle or error.message
        if model.state == "failed":
            return f"the model {model.name} failed: {model.error}"
        return "" if model.state == "ready" else f"the model {model.name} is {model.state}"

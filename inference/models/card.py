"""What a model's file says of itself: its chat template and its facts, by GGUF's keys."""

from __future__ import annotations

from mongarsd.ground.status import ModelCard
from mongarsd.inference.models.container import open_container
from mongarsd.inference.models.manifest import InstalledModel

TEMPLATE = "tokenizer.chat_template"
MAX_TEXT = 4096  # characters of a fact
MAX_FILE = 1 << 20  # bytes of a template beside an ONNX model


def read_card(model: InstalledModel) -> ModelCard:
    """Reads the file's header. Raises InvalidModel, OSError."""
    name = model.architecture
    info = {
        "general.architecture": name,
        "general.parameter_count": model.parameters,
        f"{name}.context_length": model.context_length,
        f"{name}.embedding_length": model.dimensions or model.width,
        f"{name}.block_count": model.layers,
    }
    if model.format == "onnx":
        beside = model.paths.get("template")
        text = beside.read_bytes()[:MAX_FILE].decode("utf-8", "replace") if beside else ""
        return ModelCard(format="onnx", template=text, info=info)
    values = open_container(model.path).values
    template = values.get(TEMPLATE)
    info |= {
        key: value
        for key, value in values.items()
        if isinstance(value, (int, float, str)) and key != TEMPLATE and len(str(value)) <= MAX_TEXT
    }
    return ModelCard(format="gguf", template=template if isinstance(template, str) else "", info=info)

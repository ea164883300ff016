"""What a GGUF file says of its model: the facts that memory plans, lists and the store need. No weights are read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import BinaryIO, Literal

from msgspec import Struct

from mongarsd.ground.errors import InvalidModel
from mongarsd.inference.models.container import Container, Value, open_container, read_container
from mongarsd.inference.models.ggml import FILE_TYPES, REPACKED
from mongarsd.inference.models.infill import fills_in
from mongarsd.inference.models.recurrent import layers_of

F16 = 2  # bytes
MAX_LAYERS = 1024
MAX_SMALL = 1 << 24  # heads, lengths, widths: what is larger is no model
MAX_TEMPLATE = 1 << 18  # characters
#: `general.type` of files that are parts of a model, not a model.
PARTS = frozenset({"adapter", "imatrix", "mmproj"})
#: Architectures that only read: no KV cells, and a vector for each token. T5's encoder is none: it needs other calls.
READERS = frozenset(
    {
        "bert", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "modern-bert", "neo-bert",
        "nomic-bert", "nomic-bert-moe",
    }
)  # fmt: skip
#: llama.h, enum llama_pooling_type: how a text's token vectors become one; 4 = a score.
MEAN, CLS, LAST, RANK = 1, 2, 3, 4
#: A classification head, in files that do not say that they are for ranking.
HEADS = frozenset({"cls.weight", "cls.output.weight"})

Purpose = Literal["chat", "embedding", "rerank"]


class GgufHeader(Struct, frozen=True, kw_only=True):
    version: int
    architecture: str
    name: str
    parameters: int
    quantization: str  # "Q4_0", "Q4_K_M", …
    context_length: int  # tokens the model was trained for; 0 = not said
    block_count: int
    embedding_length: int
    output_length: int  # numbers of a pooled vector
    feed_forward_length: int
    purpose: Purpose
    causal: bool  # tokens see only those before them
    kv_bytes_per_token: int  # all layers with cells, f16; those with a sliding window keep all of them, too
    state_bytes: int  # of a sequence, however long: its recurrent layers
    vocabulary: int  # tokens
    infill: bool = False  # has the tokens for a text with a gap
    chat_template: str | None
    bos: int | None  # token ids
    eos: int | None
    licence: str
    tensor_bytes: int
    repacked_bytes: int  # of `tensor_bytes`, in types that the CPU backend holds a second, rearranged copy of

    @property
    def repacks(self) -> bool:
        """Does most of the model gain from batching, and take twice its size in memory?"""
        return self.repacked_bytes * 2 > self.tensor_bytes


def read_header(path: Path) -> GgufHeader:
    """Read and check the header. Raises InvalidModel for every file that is no sound, whole, single-file model."""
    return header_of(open_container(path))


def parse_header(file: BinaryIO, length: int) -> GgufHeader:
    """The same for an open file of `length` bytes. Raises InvalidModel; OSError passes through."""
    return header_of(read_container(file, length))


def header_of(container: Container) -> GgufHeader:
    """What a container says of its model. Raises InvalidModel."""
    values = container.values
    architecture = _text(values, "general.architecture")
    if not architecture:
        raise InvalidModel("general.architecture is missing: the file does not say what model it is.")
    _refuse_parts(values)
    layers = _whole(values, f"{architecture}.block_count", MAX_LAYERS)
    embedding = _whole(values, f"{architecture}.embedding_length", MAX_SMALL)
    heads = _per_layer(values, f"{architecture}.attention.head_count", layers, 0)
    heads_kv = _per_layer(values, f"{architecture}.attention.head_count_kv", layers, None) or heads
    widest = max(heads, default=0)
    head_size = embedding // widest if widest else 0
    key = _whole(values, f"{architecture}.attention.key_length", MAX_SMALL, head_size)
    value = _whole(values, f"{architecture}.attention.value_length", MAX_SMALL, head_size)
    attending, state = layers_of(
        architecture, lambda name, most: _whole(values, f"{architecture}.{name}", most), heads_kv, widest, embedding
    )
    template = values.get("tokenizer.chat_template")
    if isinstance(template, str) and len(template) > MAX_TEMPLATE:
        raise InvalidModel(f"The chat template is {len(template)} characters long; at most {MAX_TEMPLATE} are allowed.")
    by_type: Counter[str] = Counter()
    for tensor in container.tensors:
        by_type[tensor.type.name] += tensor.size
    return GgufHeader(
        version=container.version,
        architecture=architecture,
        name=_text(values, "general.name"),
        parameters=sum(tensor.elements for tensor in container.tensors),
        quantization=_quantization(values, by_type),
        context_length=_whole(values, f"{architecture}.context_length", 1 << 32),
        block_count=layers,
        embedding_length=embedding,
        output_length=_whole(values, f"{architecture}.embedding_length_out", MAX_SMALL, embedding),
        feed_forward_length=max(_per_layer(values, f"{architecture}.feed_forward_length", layers, 0), default=0),
        purpose=_purpose(container, architecture),
        causal=architecture not in READERS and values.get(f"{architecture}.attention.causal", True) is not False,
        kv_bytes_per_token=sum(attending) * (key + value) * F16,
        state_bytes=state,
        vocabulary=container.lengths.get("tokenizer.ggml.tokens", 0),
        infill=fills_in(values, container.found),
        chat_template=template if isinstance(template, str) else None,
        bos=_token(values, "tokenizer.ggml.bos_token_id"),
        eos=_token(values, "tokenizer.ggml.eos_token_id"),
        licence=_text(values, "general.license"),
        tensor_bytes=by_type.total(),
        repacked_bytes=sum(size for name, size in by_type.items() if name in REPACKED),
    )


def _purpose(container: Container, architecture: str) -> Purpose:
    """Raises InvalidModel for a model that sorts texts into classes."""
    pooling = _whole(container.values, f"{architecture}.pooling_type", RANK)
    has_head = any(tensor.name in HEADS for tensor in container.tensors)
    if pooling != RANK and not (architecture in READERS and has_head):
        return "embedding" if pooling or architecture in READERS else "chat"
    labels = container.lengths.get(f"{architecture}.classifier.output_labels", 1)
    if labels > 1 and architecture != "qwen3":  # its labels are yes and no
        raise InvalidModel(f"The model sorts texts into {labels} classes; only scores of relevance are supported.")
    return "rerank"


def _refuse_parts(values: dict[str, Value]) -> None:
    kind = values.get("general.type")
    if kind in PARTS:
        raise InvalidModel(f"The file is not a model but a part of one ({kind}).")
    count = values.get("split.count", 1)
    if count not in (0, 1):
        raise InvalidModel(
            f"The file is one of {count} parts of a split model, which are not supported: "
            "take a single-file version, or join the parts with llama.cpp's llama-gguf-split --merge."
        )


def _quantization(values: dict[str, Value], by_type: Counter[str]) -> str:
    label = values.get("general.file_type")
    if isinstance(label, int) and label in FILE_TYPES:
        return FILE_TYPES[label]
    return by_type.most_common(1)[0][0]


def _text(values: dict[str, Value], key: str) -> str:
    """A label, without what would disturb a log or a terminal; "" if it is not there."""
    value = values.get(key, "")
    if not isinstance(value, str):
        raise InvalidModel(f"{key} is not a text.")
    return "".join(char for char in value if char.isprintable())[:200]


def _whole(values: dict[str, Value], key: str, limit: int, default: int = 0) -> int:
    return _checked(values.get(key, default), key, limit)


def _checked(value: object, key: str, limit: int) -> int:
    if type(value) is not int or not 0 <= value <= limit:
        raise InvalidModel(f"{key} is {str(value)[:40]}; it must be a whole number from 0 to {limit}.")
    return value


def _per_layer(values: dict[str, Value], key: str, layers: int, default: int | None) -> list[int]:
    """One number for each layer; the file holds an array of them, or one for all."""
    value = values.get(key, default)
    if value is None:
        return []
    if not isinstance(value, list):
        return [_checked(value, key, MAX_SMALL)] * layers
    if len(value) < layers:
        raise InvalidModel(f"{key} has {len(value)} values for {layers} layers.")
    return [_checked(item, key, MAX_SMALL) for item in value[:layers]]


def _token(values: dict[str, Value], key: str) -> int | None:
    value = values.get(key)
    return None if value is None else _checked(value, key, 1 << 32)

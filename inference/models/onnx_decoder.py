"""Whether an ONNX graph is a decoder that chats, and how it keeps its cache. Pure: names, types and shapes in.

The hub's exports (optimum, onnx-community, onnxruntime-genai) take `past_key_values.N.key` and `.value` beside the
tokens, and give `present.N.key` and `.value`. There are two kinds. With GroupQueryAttention alone at the caches, past
and present may be the same memory, as long as the context, and each step writes only its own tokens. In all others
Concat gives a new cache, one step longer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msgspec import Struct

from mongarsd.ground.errors import InvalidModel

FLOAT, INT64, BOOL, FLOAT16 = 1, 7, 9, 10
PAST = re.compile(r"past_key_values\.(\d{1,4})\.(key|value)")
MAX_LAYERS = 1000
MAX_HEADS, MAX_SIZE = 1024, 4096
REQUIRED = frozenset({"input_ids", "attention_mask"})
#: Of tokens, one row a sequence; the rest are single values.
TABLES = REQUIRED | {"position_ids"}
OPTIONAL = frozenset({"use_cache_branch", "num_logits_to_keep"})
ATTENTION = "GroupQueryAttention"
QUANTIZED = "MatMulNBits"
#: Of MatMulNBits: activations as int8. Anything else multiplies floats, which is several times slower on a CPU.
ACCURACY = 4


class Value(NamedTuple):
    """An input or output: element type, and shape (0 = any)."""

    kind: int
    shape: list[int]


class Node(NamedTuple):
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    accuracy: int  # the attribute `accuracy_level`; 0 = none
    depth: int = 0  # graphs it is inside of


class DecoderHeader(Struct, frozen=True, kw_only=True):
    inputs: tuple[str, ...]  # without the caches
    layers: int
    heads: int  # of keys and values
    size: int  # numbers a head
    half: bool  # caches are float16, else float32
    half_logits: bool
    vocabulary: int  # numbers in an output; 0 = the file does not say
    shared: bool  # past and present may be the same memory
    imprecise: int  # MatMulNBits without ACCURACY

    @property
    def bytes_per_token(self) -> int:
        return 2 * self.layers * self.heads * self.size * (2 if self.half else 4)


def is_decoder(inputs: Iterable[str]) -> bool:
    return any(name.startswith("past_key_values.") for name in inputs)


def read_decoder(inputs: Mapping[str, Value], outputs: Mapping[str, Value], nodes: Iterable[Node]) -> DecoderHeader:
    """Raises InvalidModel with what is missing or unknown."""
    caches = {name for name in inputs if PAST.fullmatch(name)}
    others = [name for name in inputs if name not in caches]
    if missing := REQUIRED.difference(others):
        raise _invalid(f"lacks the input {', '.join(sorted(missing))}")
    if unknown := set(others) - TABLES - OPTIONAL:
        raise _invalid(f"wants {', '.join(sorted(unknown)[:4])[:200]}: only decoders of plain text are supported")
    if wrong := [
        name for name in others if name in TABLES and (inputs[name].kind != INT64 or len(inputs[name].shape) != 2)
    ]:
        raise _invalid(f"has an input {wrong[0]} that is no table of 64-bit integers")
    layers = len(caches) // 2
    wanted = {f"past_key_values.{layer}.{part}" for layer in range(layers) for part in ("key", "value")}
    if not 0 < layers <= MAX_LAYERS or caches != wanted:
        raise _invalid("does not have a key and a value for each of its layers")
    first = inputs["past_key_values.0.key"]
    heads, size = (first.shape[1], first.shape[3]) if len(first.shape) == 4 else (0, 0)
    if not (0 < heads <= MAX_HEADS and 0 < size <= MAX_SIZE) or first.kind not in (FLOAT, FLOAT16):
        raise _invalid("does not say how large its caches are, or keeps them in a type that is not supported")
    for name in sorted(caches):
        past, present = inputs[name], outputs.get(name.replace("past_key_values", "present"))
        alike = past.kind == first.kind and len(past.shape) == 4 and (past.shape[1], past.shape[3]) == (heads, size)
        if not alike or present is None or present.kind != first.kind:
            raise _invalid(f"has a cache {name} unlike the first, or gives none back")
    logits = outputs.get("logits")
    if logits is None or logits.kind not in (FLOAT, FLOAT16) or len(logits.shape) != 3:
        raise _invalid("gives no logits for each token")
    nodes = list(nodes)
    return DecoderHeader(
        inputs=tuple(others),
        layers=layers,
        heads=heads,
        size=size,
        half=first.kind == FLOAT16,
        half_logits=logits.kind == FLOAT16,
        vocabulary=logits.shape[2],
        shared=_shared(caches, nodes),
        imprecise=sum(node.kind == QUANTIZED and node.accuracy != ACCURACY for node in nodes),
    )


def _shared(caches: set[str], nodes: list[Node]) -> bool:
    """Nothing but attention sees a past, and it alone makes each present. Not so in the branches of merged decoders."""
    users = [node.kind if node.depth == 0 else "" for node in nodes if caches.intersection(node.inputs)]
    presents = {name.replace("past_key_values", "present") for name in caches}
    made = {name for node in nodes if node.kind == ATTENTION for name in presents.intersection(node.outputs)}
    return made == presents and set(users) == {ATTENTION}


def _invalid(what: str) -> InvalidModel:
    return InvalidModel(f"The ONNX model is a decoder, but it {what}.")

"""LoRA adapters in GGUF: sound by themselves, and made for this base. All that llama.cpp would abort for is refused.

Which tensors an adapter has and what shapes they must be: src/llama-adapter.cpp and build_lora_mm of
src/llama-graph.cpp, as vendored by llama-cpp-python 0.3.36.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from mongarsd.ground.errors import BadRequest, InvalidModel
from mongarsd.inference.models.container import F32, Container, Tensor

#: Types of an adapter's tensors: those its converter writes. Integers would abort the process.
TYPES = frozenset({"F32", "F16", "BF16", "Q8_0"})
A, B = ".lora_a", ".lora_b"
ALPHA = "adapter.lora.alpha"
INVOCATION = "adapter.alora.invocation_tokens"
EMBEDDING = "token_embd.weight"


class Pair(NamedTuple):
    a: Tensor
    b: Tensor


def is_adapter(file: Container) -> bool:
    return file.values.get("general.type") == "adapter"


def check_adapter(file: Container) -> None:
    """Raises InvalidModel."""
    kind = str(file.values.get("adapter.type", "nothing"))[:40]
    if kind != "lora":
        raise InvalidModel(f"The file is an adapter of the type {kind}; only lora is supported.")
    if INVOCATION in file.lengths or INVOCATION in file.values:
        raise InvalidModel("The adapter acts only after certain words (aLoRA), which is not supported.")
    alpha = file.values.get(ALPHA)
    if file.kinds.get(ALPHA) != F32 or not isinstance(alpha, float) or not math.isfinite(alpha):
        raise InvalidModel(f"{ALPHA} must be a 32-bit number in the adapter's header.")
    for tensor in file.tensors:
        if tensor.type.name not in TYPES:
            raise InvalidModel(f"Tensor {tensor.name!r} of the adapter has the type {tensor.type.name}.")
    for name, pair in _pairs(file):
        rank = _size(pair.a, 0 if name == EMBEDDING else 1)
        if rank != _size(pair.b, 0):
            raise InvalidModel(f"The two parts of {name!r} do not fit together: ranks {rank} and {_size(pair.b, 0)}.")


def check_fits(file: Container, base: Container) -> None:
    """Raises BadRequest unless the adapter, which is sound, was made for a model like this one."""
    theirs, ours = (str(header.values.get("general.architecture", ""))[:40] for header in (file, base))
    if theirs != ours:
        raise BadRequest(f"the adapter is for models of the architecture {theirs!r}, this one is {ours!r}", param="ref")
    tensors = {tensor.name: tensor for tensor in base.tensors}
    for name, pair in _pairs(file):
        if why := _obstacle(name, pair, tensors):
            raise BadRequest(f"the adapter does not fit this model: {name!r} {why}", param="ref")


def _obstacle(name: str, pair: Pair, tensors: dict[str, Tensor]) -> str:
    """Why the base's tensor cannot take the pair; "" if it can."""
    tensor = tensors.get(name)
    if tensor is None:
        return "is no tensor of it"
    if tensor.type.name == "NVFP4":
        return "is of the type NVFP4, which takes no adapters"
    inputs, outputs = _size(tensor, 0), _size(tensor, 1)
    if name == EMBEDDING:
        if "output.weight" not in tensors:
            return "is its output too, and llama.cpp adapts only one of them"
        inputs, outputs = outputs, inputs
        had = _size(pair.a, 1), _size(pair.b, 1)
    else:
        had = _size(pair.a, 0), _size(pair.b, 1)
    if had != (inputs, outputs):
        return f"maps {inputs} numbers to {outputs} there, and {had[0]} to {had[1]} in the adapter"
    experts = _size(tensor, 2)
    if {_size(pair.a, 2), _size(pair.b, 2)} != {experts} or (experts > 1 and "_exps." not in name):
        return f"has {experts} layers of experts there"
    if any(_size(each, 3) > 1 for each in (tensor, *pair)):
        return "has four dimensions"
    return ""


def _pairs(file: Container) -> Iterator[tuple[str, Pair]]:
    """The name of each base tensor with its two parts. Raises InvalidModel."""
    tensors = {tensor.name: tensor for tensor in file.tensors}
    for name in tensors:
        stem, partner = name[: -len(A)], {A: B, B: A}.get(name[-len(A) :])
        if partner is None or not stem:
            raise InvalidModel(f"Tensor {name!r} is no part of a LoRA adapter: such end in {A} or {B}.")
        if stem + partner not in tensors:
            raise InvalidModel(f"The adapter has {name!r} and not {stem + partner!r}.")
        if partner == B:
            yield stem, Pair(tensors[name], tensors[stem + B])


def _size(tensor: Tensor, dimension: int) -> int:
    return tensor.shape[dimension] if dimension < len(tensor.shape) else 1

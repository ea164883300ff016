"""The two formats of model files, told apart by their first bytes, and what the store keeps of their headers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from msgspec import Struct

from mongarsd.ground.errors import InvalidModel
from mongarsd.inference.models.container import Container, open_container
from mongarsd.inference.models.gguf import GgufHeader, Purpose, header_of
from mongarsd.inference.models.lora import check_adapter, is_adapter
from mongarsd.inference.models.onnx import SCORES, OnnxHeader, read_onnx
from mongarsd.inference.models.onnx_weights import DataFile
from mongarsd.inference.text.template import thinks

#: protobuf: field 1 (ir_version), a varint. Every exporter writes it first.
ONNX_START = b"\x08"
#: Raised when headers are read for more, or otherwise: what an older one kept is then read again (`ModelStore.renew`).
READER = 1
#: Tokens an ONNX embedding model is given of a text when nobody says more: sentence-transformers' usual length.
ONNX_CONTEXT = 256
#: Tokens of an ONNX chat model whose config.json does not say more.
ONNX_CHAT_CONTEXT = 2048


class Facts(Struct, frozen=True, kw_only=True):
    """What a header says of its file."""

    architecture: str
    parameters: int
    quantization: str
    context_length: int
    kv_bytes_per_token: int
    layers: int
    repacks: bool
    licence: str
    format: Literal["gguf", "onnx"] = "gguf"
    kind: Purpose = "chat"
    thinks: bool = False  # its template knows how to reason first
    infill: bool = False  # it can fill the gap of a text
    dimensions: int = 0  # numbers in a vector of an embedding model
    width: int = 0  # numbers in a token's vector, inside
    feed_forward: int = 0  # the same where it is widest
    vocabulary: int = 0  # tokens
    state_bytes: int = 0  # of a sequence, however long: recurrent layers
    causal: bool = True  # tokens see only those before them
    float_bytes: int = 0  # of ONNX weights as 32-bit numbers
    data: tuple[DataFile, ...] = ()  # other files with weights of an ONNX model
    adapter: bool = False  # a LoRA adapter, of use only with a model of its architecture


def inspect(path: Path) -> Facts:
    """Read and check the header. Raises InvalidModel."""
    try:
        with open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            start = file.read(1)
    except OSError as error:
        raise InvalidModel(f"{path.name} cannot be read: {error.strerror}.") from error
    if start == ONNX_START:
        return of_onnx(read_onnx(path))
    container = open_container(path)
    return of_adapter(container) if is_adapter(container) else of_gguf(header_of(container))


def of_gguf(header: GgufHeader) -> Facts:
    return Facts(
        architecture=header.architecture,
        parameters=header.parameters,
        quantization=header.quantization,
        context_length=header.context_length,
        kv_bytes_per_token=header.kv_bytes_per_token,
        state_bytes=header.state_bytes,
        layers=header.block_count,
        repacks=header.repacks,
        licence=header.licence,
        kind=header.purpose,
        thinks=thinks(header.chat_template or ""),
        infill=header.infill,
        dimensions=header.output_length if header.purpose == "embedding" else 0,
        width=header.embedding_length,
        feed_forward=header.feed_forward_length,
        vocabulary=header.vocabulary,
        causal=header.causal,
    )


def of_adapter(container: Container) -> Facts:
    """Raises InvalidModel."""
    check_adapter(container)
    return Facts(
        architecture=str(container.values.get("general.architecture", "")),
        parameters=sum(tensor.elements for tensor in container.tensors),
        quantization=container.tensors[0].type.name,
        context_length=0,
        kv_bytes_per_token=0,
        layers=0,
        repacks=False,
        licence="",
        adapter=True,
    )


def of_onnx(header: OnnxHeader) -> Facts:
    if decoder := header.decoder:
        return Facts(
            architecture="onnx",
            parameters=header.parameters,
            quantization=header.quantization,
            context_length=ONNX_CHAT_CONTEXT,
            kv_bytes_per_token=decoder.bytes_per_token,
            layers=decoder.layers,
            repacks=False,
            licence="",
            format="onnx",
            data=header.data,
            vocabulary=decoder.vocabulary,
        )
    return Facts(
        architecture="onnx",
        parameters=header.parameters,
        quantization=header.quantization,
        context_length=ONNX_CONTEXT,
        kv_bytes_per_token=0,
        layers=0,
        repacks=False,
        licence="",
        format="onnx",
        kind="rerank" if header.output in SCORES else "embedding",
        dimensions=0 if header.output in SCORES else header.dimensions,
        float_bytes=header.float_bytes,
        data=header.data,
    )


def capabilities(facts: Facts) -> tuple[str, ...]:
    """What the model can be asked for, in Ollama's words, and "rerank", for which it has none."""
    if facts.kind != "chat":
        return (facts.kind,)
    further = (("insert", facts.infill), ("thinking", facts.thinks))
    return ("completion", "tools", *(word for word, there in further if there))

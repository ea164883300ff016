"""What an ONNX file says of its model, read without onnxruntime: a walk over the protobuf's own lengths.

No weights are read. What is not a whole model is refused here, before native code sees it.
Field numbers: onnx/onnx.proto3.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from mongarsd.ground.errors import InvalidModel
from mongarsd.inference.models.onnx_decoder import DecoderHeader, Node, Value, is_decoder, read_decoder
from mongarsd.inference.models.onnx_weights import DataFile, Quantized, Tensor, count, files, place

MAX_SIZE = 2 << 30  # bytes; protobuf's own limit for one message
MAX_ITEMS = 200_000  # fields of all messages that are looked into; a model of 24 layers has 40,000
MAX_DEPTH = 8  # graphs inside nodes
MAX_WIDTH = 1 << 16  # numbers in a vector

REQUIRED = frozenset({"input_ids", "attention_mask"})
KNOWN = REQUIRED | {"token_type_ids", "position_ids"}
INT64 = 7
#: Nodes whose tables are packed
PACKED = frozenset({"MatMulNBits", "GatherBlockQuantized"})
#: Outputs in order of preference: vectors of whole texts, then those of tokens, which are averaged.
POOLED = ("sentence_embedding",)
TOKENS = ("last_hidden_state", "token_embeddings")
#: Of a cross-encoder: one logit for a pair of texts.
SCORES = ("logits",)

Field = tuple[int, int, int]  # number, and where its content is: value (varint) or start, end


class OnnxHeader(Struct, frozen=True, kw_only=True):
    inputs: tuple[str, ...]
    output: str
    dimensions: int  # numbers in a vector; 1 = a score of relevance
    parameters: int
    quantization: str  # the type of most weights: "INT8", "F32", …
    data: tuple[DataFile, ...] = ()  # files with weights, that must lie beside the model
    float_bytes: int  # of the weights as 32-bit numbers: what onnxruntime holds of most small exports
    decoder: DecoderHeader | None = None  # of a model that chats


def read_onnx(path: Path) -> OnnxHeader:
    """Raises InvalidModel with the reason."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not 16 <= size <= MAX_SIZE:
                raise InvalidModel(f"{path.name} has {size} bytes: no ONNX model has.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Walk(data).header()
    except OSError as error:
        raise InvalidModel(f"{path.name} cannot be read: {error.strerror}.") from error


class _Walk:
    """One pass over a file."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._items = 0
        self._tensors: dict[str, Tensor] = {}  # by name
        self._nameless: list[Tensor] = []
        self._places: list[DataFile] = []
        self._packed_nodes: list[Quantized] = []
        self._nodes: list[Node] = []  # of the outermost graph

    def header(self) -> OnnxHeader:
        graph, version = self._model()
        found, made = self._signature(graph)
        self._graph(graph, 0)
        if not 3 <= version <= 1000:
            raise InvalidModel(f"The file is not an ONNX model: its format version is {version}.")
        if is_decoder(found):
            return self._header(tuple(found), "logits", 0, read_decoder(found, made, self._nodes))
        inputs, outputs = _texts(found), {name: value.shape for name, value in made.items()}
        output = next((name for name in (*POOLED, *TOKENS, *SCORES) if name in outputs), None)
        if output is None:
            raise InvalidModel(
                f"The ONNX model gives {_names(outputs)}; an embedding model gives one of {_names([*POOLED, *TOKENS])}."
            )
        width = outputs[output][-1] if outputs[output] else 0
        if output in SCORES and (width != 1 or len(outputs[output]) != 2):
            raise InvalidModel(f"The ONNX model sorts texts into {width or 'any number of'} classes: not supported.")
        if not 0 < width <= MAX_WIDTH:
            raise InvalidModel(f"The output {output} of the ONNX model does not say how long its vectors are.")
        return self._header(tuple(inputs), output, width)

    def _header(
        self, inputs: tuple[str, ...], output: str, dimensions: int, decoder: DecoderHeader | None = None
    ) -> OnnxHeader:
        parameters, common = count(self._tensors, self._nameless, self._packed_nodes)
        stored = sum(tensor.size for tensor in (*self._tensors.values(), *self._nameless))
        return OnnxHeader(
            inputs=inputs,
            output=output,
            dimensions=dimensions,
            parameters=parameters,
            quantization=common,
            data=files(self._places),
            float_bytes=stored * 4,
            decoder=decoder,
        )

    def _model(self) -> tuple[Field, int]:
        version, graph = 0, None
        for field in self._fields(0, len(self._data)):
            if field[0] == 1:
                version = field[1]
            elif field[0] == 7:
                graph = field
        if graph is None:
            raise InvalidModel("The file is not an ONNX model, or not all of it is there: it has no graph.")
        return graph, version

    def _signature(self, graph: Field) -> tuple[dict[str, Value], dict[str, Value]]:
        """Inputs and outputs by name."""
        inputs, outputs, weights = dict[str, Value](), dict[str, Value](), set[str]()
        for number, start, end in self._fields(*graph[1:]):
            if number == 5:  # old exports list their weights among the inputs too
                weights.add(self._tensor_name(start, end))
            elif number in (11, 12):
                name, kind, shape = self._value(start, end)
                (inputs if number == 11 else outputs)[name] = Value(kind, shape)
        return {name: value for name, value in inputs.items() if name not in weights}, outputs

    def _graph(self, graph: Field, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise InvalidModel(f"The ONNX model nests more than {MAX_DEPTH} graphs.")
        for number, start, end in self._fields(*graph[1:]):
            if number == 1:
                self._node(start, end, depth)
            elif number == 5:
                self._tensor(start, end)
            elif number == 15:  # sparse: values, indices
                for inner in self._fields(start, end):
                    if inner[0] in (1, 2):
                        self._tensor(*inner[1:])

    def _node(self, start: int, end: int, depth: int) -> None:
        kind = ""
        numbers: dict[str, int] = {}
        names: dict[int, list[str]] = {1: [], 2: []}  # inputs, outputs
        for field in self._fields(start, end):
            if field[0] in names:
                names[field[0]].append(self._text(*field[1:]))
            elif field[0] == 4:
                kind = self._text(*field[1:])
            elif field[0] == 5:  # attributes hold tensors and graphs
                name, value = self._attribute(field, depth)
                numbers[name] = value
        if kind in PACKED:
            self._packed_nodes.append(Quantized(tuple(names[1]), kind, numbers))
        self._nodes.append(Node(kind, tuple(names[1]), tuple(names[2]), numbers.get("accuracy_level", 0), depth))

    def _attribute(self, attribute: Field, depth: int) -> tuple[str, int]:
        """Its name, and its value if that is a number."""
        name, value = "", 0
        for inner in self._fields(*attribute[1:]):
            if inner[0] == 1:
                name = self._text(*inner[1:])
            elif inner[0] == 3 and inner[2] == -1:
                value = inner[1]
            elif inner[0] in (5, 10):
                self._tensor(*inner[1:])
            elif inner[0] in (6, 11):
                self._graph(inner, depth + 1)
        return name, value

    def _tensor(self, start: int, end: int) -> None:
        dims: list[int] = []
        kind, name, outside = 0, "", False
        entries: dict[str, str] = {}
        for number, first, last in self._fields(start, end):
            if number == 1 and last == -1:
                dims.append(first)
            elif number == 1:
                dims += self._packed(first, last)
            elif number == 2:
                kind = first
            elif number == 8:
                name = self._text(first, last)
            elif number == 13:
                outside = True
                key, value = self._entry(first, last)
                entries[key] = value
            elif number == 14:
                outside = outside or first == 1
        tensor = Tensor(kind, tuple(dims))
        if tensor.size > 16 * MAX_SIZE:
            raise InvalidModel("A tensor of the ONNX model claims an impossible size.")
        if outside:
            self._places.append(place(tensor, entries))
        if name:
            self._tensors[name] = tensor
        else:
            self._nameless.append(tensor)

    def _entry(self, start: int, end: int) -> tuple[str, str]:
        """A StringStringEntryProto."""
        pair = {field[0]: self._text(*field[1:]) for field in self._fields(start, end)}
        return pair.get(1, ""), pair.get(2, "")

    def _tensor_name(self, start: int, end: int) -> str:
        return next((self._text(*field[1:]) for field in self._fields(start, end) if field[0] == 8), "")

    def _value(self, start: int, end: int) -> tuple[str, int, list[int]]:
        """Name, element type, shape of a ValueInfoProto."""
        name, kind, shape = "", 0, list[int]()
        for field in self._fields(start, end):
            if field[0] == 1:
                name = self._text(*field[1:])
            elif field[0] == 2:  # TypeProto
                for tensor in (inner for inner in self._fields(*field[1:]) if inner[0] == 1):
                    for part in self._fields(*tensor[1:]):
                        if part[0] == 1:
                            kind = part[1]
                        elif part[0] == 2:
                            dims = [dim for dim in self._fields(*part[1:]) if dim[0] == 1]
                            shape = [self._dimension(*dim[1:]) for dim in dims]
        return name, kind, shape

    def _dimension(self, start: int, end: int) -> int:
        return next((field[1] for field in self._fields(start, end) if field[0] == 1), 0)

    def _text(self, start: int, end: int) -> str:
        if end < start:
            raise _damaged()
        return "".join(c for c in self._data[start : min(end, start + 200)].decode(errors="replace") if c.isprintable())

    def _packed(self, start: int, end: int) -> Iterator[int]:
        while start < end:
            value, start = self._varint(start, end)
            yield value

    def _fields(self, start: int, end: int) -> Iterator[Field]:
        """Raises InvalidModel when a field reaches beyond the message it is in: the file is cut or no protobuf."""
        if end < start:
            raise _damaged()
        while start < end:
            self._items += 1
            if self._items > MAX_ITEMS:
                raise InvalidModel(f"The ONNX model has more than {MAX_ITEMS} parts.")
            key, start = self._varint(start, end)
            number, wire = key >> 3, key & 7
            if wire == 0:
                value, start = self._varint(start, end)
                yield number, value, -1
                continue
            if wire not in (1, 2, 5) or number == 0:
                raise _damaged()
            if wire == 2:
                size, start = self._varint(start, end)
            else:
                size = 8 if wire == 1 else 4
            if size > end - start:
                raise _damaged()
            yield number, start, start + size
            start += size

    def _varint(self, start: int, end: int) -> tuple[int, int]:
        value = 0
        for index in range(10):
            if start + index >= end:
                break
            byte = self._data[start + index]
            value |= (byte & 127) << 7 * index
            if byte < 128:
                return value, start + index + 1
        raise _damaged()


def _texts(inputs: dict[str, Value]) -> list[str]:
    """Names of the inputs. Raises InvalidModel unless they are texts."""
    if missing := REQUIRED.difference(inputs):
        raise InvalidModel(f"The ONNX model lacks the input {_names(missing)}: it has {_names(inputs)}.")
    if more := [name for name in inputs if name not in KNOWN]:
        raise InvalidModel(f"The ONNX model wants {_names(more)}: only models of texts are supported.")
    if wrong := [name for name in inputs if inputs[name].kind != INT64 or len(inputs[name].shape) != 2]:
        raise InvalidModel(f"The input {_names(wrong)} of the ONNX model is no table of 64-bit integers.")
    return list(inputs)


def _damaged() -> InvalidModel:
    return InvalidModel("The file is not an ONNX model, or not all of it is there: get it again.")


def _names(names: object) -> str:
    assert isinstance(names, (list, dict, set, frozenset))
    return ", ".join(sorted(map(str, names))[:8])[:300] or "nothing"

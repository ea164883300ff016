"""A GGUF model of the llama architecture as an ONNX decoder, for comparing the two backends on the same weights.

    python scripts/gguf_to_onnx.py MODEL.gguf FOLDER [--plain] [--accuracy {0,1,4} | --float]

Writes model.onnx with its companions (tokenizer.json, tokenizer_config.json, config.json, generation_config.json) as
the hub's exports have them. Weights of Q4_0 and Q8_0 keep their very numbers: both formats have blocks of 32 with one
scale, so MatMulNBits multiplies by what llama.cpp multiplies by. `--plain` writes attention in standard operators with
caches that grow by Concat, as older exports do; else it is GroupQueryAttention. `--accuracy 0` and `--float` compute
without rounding activations: for finding out whether two answers differ by a fault or by rounding.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import onnx
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFReader
from onnx import TensorProto as T
from onnx import helper, numpy_helper

BLOCK = 32
MS = "com.microsoft"
Array = np.ndarray[Any, Any]


class Graph:
    """Nodes and weights in the order they are added."""

    def __init__(self, gguf_file: GGUFReader, accuracy: int | None) -> None:
        """`accuracy`: the `accuracy_level` of quantised matrices; None = they become floats."""
        self.accuracy = accuracy
        self.tensors = {tensor.name: tensor for tensor in gguf_file.tensors}
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._added: set[str] = set()

    def add(self, kind: str, inputs: list[str], outputs: str | list[str], domain: str = "", **attributes: Any) -> str:
        names = [outputs] if isinstance(outputs, str) else outputs
        self.nodes.append(helper.make_node(kind, inputs, names, name=names[0], domain=domain, **attributes))
        return names[0]

    def constant(self, name: str, value: Array) -> str:
        if name not in self._added:
            self._added.add(name)
            self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def floats(self, name: str) -> str:
        tensor = self.tensors[name]
        return self.constant(name, gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32))

    def blocks(self, name: str) -> tuple[str, str, int, int]:
        """(quantised weights, scales, outputs, inputs) of a Q4_0 or Q8_0 matrix in MatMulNBits' form."""
        tensor = self.tensors[name]
        width, rows = (int(n) for n in tensor.shape)
        raw = np.asarray(tensor.data).reshape(rows, width // BLOCK, -1)
        scales = raw[:, :, :2].copy().view(np.float16).astype(np.float32).reshape(rows, width // BLOCK)
        packed = raw[:, :, 2:]
        if tensor.tensor_type == Kind.Q4_0:  # low nibbles hold numbers 0 to 15, high ones 16 to 31
            numbers = np.concatenate([packed & 15, packed >> 4], axis=-1)
            packed = numbers[:, :, 0::2] | numbers[:, :, 1::2] << 4
        else:  # signed bytes; the zero point is 128
            packed = packed ^ 0x80
        return self.constant(name, packed), self.constant(f"{name}.scales", scales), rows, width

    def multiply(self, source: str, name: str, out: str) -> str:
        kind = self.tensors[name].tensor_type
        if self.accuracy is None or kind not in (Kind.Q4_0, Kind.Q8_0):
            tensor = self.tensors[name]
            table = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            return self.add("MatMul", [source, self.constant(f"{name}.t", table.T)], out)
        weights, scales, rows, width = self.blocks(name)
        bits = 4 if kind == Kind.Q4_0 else 8
        return self.add(
            "MatMulNBits", [source, weights, scales], out, MS,
            K=width, N=rows, bits=bits, block_size=BLOCK, accuracy_level=self.accuracy,
        )  # fmt: skip

    def embed(self, out: str) -> str:
        """Rows of the embedding table; a Q8_0 one is shared with the output."""
        name = "token_embd.weight"
        if self.tensors[name].tensor_type != Kind.Q8_0:
            return self.add("Gather", [self.floats(name), "input_ids"], out)
        weights, scales, _, width = self.blocks(name)
        rows = self.add("Gather", [weights, "input_ids"], "embed.bytes")
        numbers = self.add("Cast", [rows], "embed.numbers", to=T.FLOAT)
        zero = self.constant("embed.zero", np.float32(128))
        centred = self.add("Sub", [numbers, zero], "embed.centred")
        scale = self.add("Gather", [scales, "input_ids"], "embed.scale")
        axis = self.constant("embed.axis", np.array([-1], np.int64))
        tall = self.add("Unsqueeze", [scale, axis], "embed.tall")
        scaled = self.add("Mul", [centred, tall], "embed.scaled")
        return self.add("Reshape", [scaled, self.constant("embed.shape", np.array([0, 0, width], np.int64))], out)

    def norm(self, source: str, weight: str, out: str, epsilon: float) -> str:
        return self.add("SimplifiedLayerNormalization", [source, self.floats(weight)], out, axis=-1, epsilon=epsilon)


class Decoder:
    def __init__(self, file: GGUFReader, *, plain: bool, accuracy: int | None) -> None:
        def value(key: str) -> Any:
            return file.fields[f"llama.{key}"].contents()

        self.layers, self.width = value("block_count"), value("embedding_length")
        self.heads, self.kv_heads = value("attention.head_count"), value("attention.head_count_kv")
        self.size = self.width // self.heads
        self.context, self.base = value("context_length"), value("rope.freq_base")
        self.epsilon = value("attention.layer_norm_rms_epsilon")
        self.vocabulary = len(file.fields["tokenizer.ggml.tokens"].data)
        self.plain = plain
        self.graph = Graph(file, accuracy)

    def build(self) -> onnx.ModelProto:
        graph = self.graph
        self._rope_tables()
        self._lengths()
        state = graph.embed("embed")
        for layer in range(self.layers):
            state = self._layer(layer, state)
        state = graph.norm(state, "output_norm.weight", "norm", self.epsilon)
        last = "output.weight" if "output.weight" in graph.tensors else "token_embd.weight"
        graph.multiply(state, last, "logits")
        cache = ["batch_size", self.kv_heads, "past_sequence_length", self.size]
        grown = [*cache[:2], "total_sequence_length", self.size]
        pairs = [(layer, part) for layer in range(self.layers) for part in ("key", "value")]
        inputs = [
            helper.make_tensor_value_info("input_ids", T.INT64, ["batch_size", "sequence_length"]),
            helper.make_tensor_value_info("attention_mask", T.INT64, ["batch_size", "total_sequence_length"]),
            helper.make_tensor_value_info("position_ids", T.INT64, ["batch_size", "sequence_length"]),
            *(helper.make_tensor_value_info(f"past_key_values.{n}.{p}", T.FLOAT, cache) for n, p in pairs),
        ]
        outputs = [
            helper.make_tensor_value_info("logits", T.FLOAT, ["batch_size", "sequence_length", self.vocabulary]),
            *(helper.make_tensor_value_info(f"present.{n}.{p}", T.FLOAT, grown) for n, p in pairs),
        ]
        made = helper.make_graph(graph.nodes, "decoder", inputs, outputs, graph.weights)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MS, 1)]
        return helper.make_model(made, opset_imports=opsets, ir_version=9, producer_name="gguf_to_onnx")

    def _rope_tables(self) -> None:
        angles = np.outer(np.arange(self.context), self.base ** -(np.arange(0, self.size, 2) / self.size))
        self.graph.constant("cos", np.cos(angles).astype(np.float32))
        self.graph.constant("sin", np.sin(angles).astype(np.float32))

    def _lengths(self) -> None:
        """GroupQueryAttention wants both lengths; plain attention wants a mask to add."""
        graph = self.graph
        one = graph.constant("one", np.array([1], np.int64))
        if not self.plain:
            total = graph.add("ReduceSum", ["attention_mask", one], "length", keepdims=0)
            less = graph.add("Sub", [total, graph.constant("1", np.int64(1))], "length.less")
            graph.add("Cast", [less], "seqlens_k", to=T.INT32)
            shape = graph.add("Shape", ["attention_mask"], "mask.shape", start=1, end=2)
            width = graph.add("Squeeze", [shape], "mask.width")
            graph.add("Cast", [width], "total", to=T.INT32)
            return
        shape = graph.add("Shape", ["attention_mask"], "mask.shape", start=1, end=2)
        width = graph.add("Squeeze", [shape], "mask.width")
        zero, single = graph.constant("0", np.int64(0)), graph.constant("1", np.int64(1))
        places = graph.add("Range", [zero, width, single], "places")
        axis = graph.constant("last", np.array([-1], np.int64))
        rows = graph.add("Unsqueeze", ["position_ids", axis], "rows")
        seen = graph.add("LessOrEqual", [places, rows], "seen")  # [batch, sequence, total]
        real = graph.add("Cast", ["attention_mask"], "real", to=T.BOOL)
        wide = graph.add("Unsqueeze", [real, one], "real.wide")
        both = graph.add("And", [seen, wide], "both")
        low = graph.constant("low", np.float32(-1e30))
        table = graph.add("Where", [both, graph.constant("none", np.float32(0)), low], "mask.table")
        graph.add("Unsqueeze", [table, one], "mask")

    def _layer(self, layer: int, state: str) -> str:
        graph, name = self.graph, f"blk.{layer}"
        normed = graph.norm(state, f"{name}.attn_norm.weight", f"{name}.normed", self.epsilon)
        q, k, v = (graph.multiply(normed, f"{name}.attn_{p}.weight", f"{name}.{p}") for p in "qkv")
        q, k = (self._rotate(part, heads) for part, heads in ((q, self.heads), (k, self.kv_heads)))
        attended = self._attention(layer, q, k, v)
        projected = graph.multiply(attended, f"{name}.attn_output.weight", f"{name}.projected")
        state = graph.add("Add", [state, projected], f"{name}.mid")
        normed = graph.norm(state, f"{name}.ffn_norm.weight", f"{name}.ffn", self.epsilon)
        gate = graph.multiply(normed, f"{name}.ffn_gate.weight", f"{name}.gate")
        up = graph.multiply(normed, f"{name}.ffn_up.weight", f"{name}.up")
        sigmoid = graph.add("Sigmoid", [gate], f"{name}.sigmoid")
        silu = graph.add("Mul", [gate, sigmoid], f"{name}.silu")
        hidden = graph.add("Mul", [silu, up], f"{name}.hidden")
        down = graph.multiply(hidden, f"{name}.ffn_down.weight", f"{name}.down")
        return graph.add("Add", [state, down], f"{name}.out")

    def _rotate(self, source: str, heads: int) -> str:
        """llama.cpp's files hold Q and K permuted for pairs of neighbours: `interleaved`."""
        inputs = [source, "position_ids", "cos", "sin"]
        return self.graph.add(
            "RotaryEmbedding", inputs, f"{source}.rotated", MS,
            interleaved=1, num_heads=heads, rotary_embedding_dim=self.size,
        )  # fmt: skip

    def _attention(self, layer: int, q: str, k: str, v: str) -> str:
        graph, name = self.graph, f"blk.{layer}"
        past = [f"past_key_values.{layer}.{part}" for part in ("key", "value")]
        present = [f"present.{layer}.{part}" for part in ("key", "value")]
        out = f"{name}.attended"
        if not self.plain:
            return graph.add(
                "GroupQueryAttention", [q, k, v, *past, "seqlens_k", "total"], [out, *present], MS,
                num_heads=self.heads, kv_num_heads=self.kv_heads,
            )  # fmt: skip
        groups = self.heads // self.kv_heads
        split = graph.constant("split", np.array([0, 0, -1, self.size], np.int64))
        for part, before, after in ((k, past[0], present[0]), (v, past[1], present[1])):
            apart = graph.add("Reshape", [part, split], f"{part}.apart")
            turned = graph.add("Transpose", [apart], f"{part}.turned", perm=[0, 2, 1, 3])
            graph.add("Concat", [before, turned], after, axis=2)
        five = graph.constant("five", np.array([0, self.kv_heads, groups, -1, self.size], np.int64))
        apart = graph.add("Reshape", [q, split], f"{q}.apart")
        turned = graph.add("Transpose", [apart], f"{q}.turned", perm=[0, 2, 1, 3])
        grouped = graph.add("Reshape", [turned, five], f"{q}.grouped")
        two = graph.constant("two", np.array([2], np.int64))
        keys, values = (graph.add("Unsqueeze", [part, two], f"{part}.wide") for part in present)
        across = graph.add("Transpose", [keys], f"{name}.across", perm=[0, 1, 2, 4, 3])
        raw = graph.add("MatMul", [grouped, across], f"{name}.raw")
        scaled = graph.add("Mul", [raw, graph.constant("scale", np.float32(self.size**-0.5))], f"{name}.scaled")
        tall = graph.add("Unsqueeze", ["mask", graph.constant("one", np.array([1], np.int64))], f"{name}.mask")
        masked = graph.add("Add", [scaled, tall], f"{name}.masked")
        weights = graph.add("Softmax", [masked], f"{name}.weights", axis=-1)
        mixed = graph.add("MatMul", [weights, values], f"{name}.mixed")
        four = graph.constant("four", np.array([0, self.heads, -1, self.size], np.int64))
        together = graph.add("Reshape", [mixed, four], f"{name}.together")
        back = graph.add("Transpose", [together], f"{name}.back", perm=[0, 2, 1, 3])
        return graph.add("Reshape", [back, graph.constant("flat", np.array([0, 0, self.width], np.int64))], out)


def tokenizer(file: GGUFReader) -> dict[str, Any]:
    """tokenizer.json of a byte-level BPE. The splitting is GPT-2's with single digits, as SmolLM's is."""
    fields = file.fields
    if fields["tokenizer.ggml.model"].contents() != "gpt2" or fields["tokenizer.ggml.pre"].contents() != "smollm":
        raise SystemExit("only SmolLM's tokenizer is converted: copy the original tokenizer.json instead")
    words = fields["tokenizer.ggml.tokens"].contents()
    kinds = fields["tokenizer.ggml.token_type"].contents()
    special = [
        {
            "id": number, "content": words[number], "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True,
        }
        for number, kind in enumerate(kinds)
        if kind == gguf.TokenType.CONTROL
    ]  # fmt: skip
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            ],
        },
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {word: number for number, word in enumerate(words)},
            "merges": [pair.split(" ") for pair in fields["tokenizer.ggml.merges"].contents()],
        },
    }


def convert(source: Path, folder: Path, *, plain: bool, accuracy: int | None = 4) -> Path:
    """The path of the model."""
    file = GGUFReader(source)
    if file.fields["general.architecture"].contents() != "llama":
        raise SystemExit(f"{source} is not of the llama architecture")
    folder.mkdir(parents=True, exist_ok=True)
    decoder = Decoder(file, plain=plain, accuracy=accuracy)
    path = folder / "model.onnx"
    onnx.save(decoder.build(), path)
    words = file.fields["tokenizer.ggml.tokens"].contents()
    bos, eos = (int(file.fields[f"tokenizer.ggml.{kind}_token_id"].contents()) for kind in ("bos", "eos"))
    companions = {
        "tokenizer.json": tokenizer(file),
        "tokenizer_config.json": {
            "bos_token": words[bos],
            "eos_token": words[eos],
            "chat_template": file.fields["tokenizer.chat_template"].contents(),
        },
        "config.json": {
            "model_type": "llama",
            "bos_token_id": bos,
            "eos_token_id": eos,
            "max_position_embeddings": decoder.context,
            "vocab_size": decoder.vocabulary,
        },
        "generation_config.json": {"bos_token_id": bos, "eos_token_id": eos},
    }
    for name, content in companions.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Convert a GGUF model of the llama architecture to ONNX.")
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--plain", action="store_true", help="attention in standard operators")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--accuracy", type=int, default=4, choices=(0, 1, 4), help="accuracy_level of MatMulNBits")
    kind.add_argument("--float", action="store_true", help="the same numbers as 32-bit floats")
    given = parser.parse_args()
    convert(given.model, given.folder, plain=given.plain, accuracy=None if given.float else given.accuracy)

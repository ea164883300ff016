"""A chat model of one layer as an ONNX decoder, in both kinds of export, and the same model in numpy.

Its numbers are random but fixed. One letter a token, and some for JSON; "." ends an answer in a third
of cases.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

LETTERS = "abcdefghijklmnopqrstuvwxyz .,:\nAEHU"
SPECIAL = ("<|im_start|>", "<|im_end|>")
JSON = (
    "{",
    "}",
    "[",
    "]",
    '"',
    "\\",
    "-",
    *"0123456789",
    '{"',
    '":',
    '": ',
    '", "',
    '"}',
    "true",
    "Ã",
    "©",
)  # é in halves
WORDS = (*SPECIAL, *LETTERS, *JSON)
HEADS, KV_HEADS, SIZE = 4, 2, 8
WIDTH = HEADS * SIZE
CONTEXT = 1024

Array = np.ndarray[Any, Any]


def weights() -> dict[str, Array]:
    rng = np.random.default_rng(7)
    shapes = {
        "embed": (len(WORDS), WIDTH), "q": (WIDTH, WIDTH), "k": (WIDTH, KV_HEADS * SIZE), "v": (WIDTH, KV_HEADS * SIZE),
        "o": (WIDTH, WIDTH), "head": (WIDTH, len(WORDS)), "place": (CONTEXT, WIDTH),
    }  # fmt: skip
    return {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}


def reference(tokens: Sequence[int]) -> Array:
    """Logits after the last token, computed from nothing but the weights."""
    w = weights()
    state = w["embed"][list(tokens)] + w["place"][: len(tokens)]
    q, k, v = state @ w["q"], state @ w["k"], state @ w["v"]
    last = q[-1].reshape(HEADS, SIZE)
    keys, values = (table.reshape(-1, KV_HEADS, SIZE) for table in (k, v))
    mixed = []
    for head in range(HEADS):
        group = head // (HEADS // KV_HEADS)
        scores = keys[:, group] @ last[head] / np.sqrt(SIZE)
        chances = np.exp(scores - scores.max())
        mixed.append(chances / chances.sum() @ values[:, group])
    return (np.concatenate(mixed) @ w["o"] + state[-1]) @ w["head"]


def greedy(tokens: Sequence[int], count: int) -> list[int]:
    """Up to `count` tokens, ended by <|im_end|>."""
    said: list[int] = []
    while len(said) < count and (token := int(reference([*tokens, *said]).argmax())) != WORDS.index("<|im_end|>"):
        said.append(token)
    return said


def written(tokens: Sequence[int]) -> str:
    said = "".join(WORDS[token] for token in tokens if token >= len(SPECIAL))
    return said.encode("latin-1").decode(errors="replace")


def tiny_decoder(
    *,
    grouped: bool = True,
    half: bool = False,
    merged: bool = False,
    inputs: Sequence[str] = ("input_ids", "attention_mask", "position_ids"),
) -> bytes:
    """`grouped`: with GroupQueryAttention, else caches that grow by Concat. `half`: caches and logits are float16.

    `merged`: as optimum merges decoders, one branch that reads the caches and one that does not; not `grouped`.
    """
    nodes: list[Any] = []
    constants = weights()

    def add(kind: str, given: Sequence[str], out: str | Sequence[str], domain: str = "", **attributes: Any) -> str:
        outs = [out] if isinstance(out, str) else list(out)
        nodes.append(helper.make_node(kind, list(given), outs, domain=domain, **attributes))
        return outs[0]

    def number(name: str, value: Any) -> str:
        constants[name] = np.array(value)
        return name

    state = add("Add", [add("Gather", ["embed", "input_ids"], "e"), add("Gather", ["place", "position_ids"], "p")], "s")
    q, k, v = (add("MatMul", [state, name], f"{name}.out") for name in "qkv")
    kept = T.FLOAT16 if half else T.FLOAT
    k, v = (add("Cast", [table], f"{table}.cast", to=kept) for table in (k, v))
    past, present = (["past_key_values.0.key", "past_key_values.0.value"], ["present.0.key", "present.0.value"])
    one = number("one", [1])
    if grouped:
        q = add("Cast", [q], "q.cast", to=kept)
        total = add("Sub", [add("ReduceSum", ["attention_mask", one], "sum", keepdims=0), number("1", 1)], "less")
        lengths = add("Cast", [total], "lengths", to=T.INT32)
        shape = add("Squeeze", [add("Shape", ["attention_mask"], "shape", start=1, end=2)], "width")
        longest = add("Cast", [shape], "longest", to=T.INT32)
        add(
            "GroupQueryAttention", [q, k, v, *past, lengths, longest], ["attended", *present], "com.microsoft",
            num_heads=HEADS, kv_num_heads=KV_HEADS,
        )  # fmt: skip
        add("Cast", ["attended"], "mixed", to=T.FLOAT)
    else:
        split = number("split", [0, 0, -1, SIZE])
        for table, before, after in ((k, past[0], present[0]), (v, past[1], present[1])):
            turned = add("Transpose", [add("Reshape", [table, split], f"{table}.r")], f"{table}.t", perm=[0, 2, 1, 3])
            add("Concat", [before, turned], after, axis=2)
        group = number("group", [0, KV_HEADS, HEADS // KV_HEADS, -1, SIZE])
        turned = add("Transpose", [add("Reshape", [q, split], "q.r")], "q.t", perm=[0, 2, 1, 3])
        asked = add("Reshape", [turned, group], "q.g")
        two = number("two", [2])
        wide = (add("Cast", [table], f"{table}.wide", to=T.FLOAT) for table in present)
        keys, values = (add("Unsqueeze", [table, two], f"{table}.u") for table in wide)
        raw = add("MatMul", [asked, add("Transpose", [keys], "k.t2", perm=[0, 1, 2, 4, 3])], "raw")
        scaled = add("Div", [raw, number("root", np.float32(np.sqrt(SIZE)))], "scaled")
        width = add("Squeeze", [add("Shape", ["attention_mask"], "shape", start=1, end=2)], "width")
        places = add("Range", [number("0", 0), width, number("1", 1)], "places")
        rows = add("Unsqueeze", ["position_ids", number("last", [-1])], "rows")
        seen = add("LessOrEqual", [places, rows], "seen")
        table = add("Where", [seen, number("none", np.float32(0)), number("low", np.float32(-1e30))], "table")
        masked = add("Add", [scaled, add("Unsqueeze", [table, number("axes", [1, 2])], "mask")], "masked")
        mixed = add("MatMul", [add("Softmax", [masked], "chances", axis=-1), values], "m")
        heads = add("Reshape", [mixed, number("heads", [0, HEADS, -1, SIZE])], "m.h")
        add("Reshape", [add("Transpose", [heads], "m.t", perm=[0, 2, 1, 3]), number("flat", [0, 0, WIDTH])], "mixed")
    end = add("Add", [add("MatMul", ["mixed", "o"], "o.out"), state], "end")
    if "num_logits_to_keep" in inputs:
        first = add("Unsqueeze", [add("Neg", ["num_logits_to_keep"], "from"), number("axis", [0])], "first")
        end = add("Slice", [end, first, number("all", [1 << 40]), one], "kept")
    add("Cast", [add("MatMul", [end, "head"], "raw.logits")], "logits", to=kept)
    if merged:
        nodes = [_branches(nodes, ("logits", *present), past)]
    cache = ["batch", KV_HEADS, "past", SIZE]
    kinds: dict[str, tuple[int, list[Any]]] = {
        "input_ids": (T.INT64, ["batch", "new"]),
        "attention_mask": (T.INT64, ["batch", "total"]),
        "position_ids": (T.INT64, ["batch", "new"]),
        "use_cache_branch": (T.BOOL, [1]),
        "num_logits_to_keep": (T.INT64, []),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            *(helper.make_tensor_value_info(name, *kinds[name]) for name in inputs),
            *(helper.make_tensor_value_info(name, kept, cache) for name in past),
        ],
        [
            helper.make_tensor_value_info("logits", kept, ["batch", "kept", len(WORDS)]),
            *(helper.make_tensor_value_info(name, kept, ["batch", KV_HEADS, "total", SIZE]) for name in present),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    made: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    return made


def _branches(nodes: Sequence[Any], outputs: Sequence[str], past: Sequence[str]) -> Any:
    """The same nodes twice inside an If; those without caches take the new keys and values alone."""
    graphs = []
    for cached in (True, False):
        branch = []
        for node in nodes:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            if not cached and node.op_type == "Concat" and node.input[0] in past:
                copy = helper.make_node("Identity", [node.input[1]], list(node.output))
            for names in (copy.input, copy.output):
                names[:] = [f"inner.{name}" if name in outputs else name for name in names]
            branch.append(copy)
        made = [helper.make_tensor_value_info(f"inner.{name}", T.UNDEFINED, None) for name in outputs]
        for value in made:
            value.ClearField("type")
        graphs.append(helper.make_graph(branch, "with" if cached else "without", [], made))
    return helper.make_node("If", ["use_cache_branch"], list(outputs), then_branch=graphs[0], else_branch=graphs[1])


def write_decoder(folder: Path, model: bytes | None = None) -> Path:
    """The model's path; its companions lie beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    added = [
        {
            "id": number, "content": name, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True,
        }
        for number, name in enumerate(SPECIAL)
    ]  # fmt: skip
    letters = str.maketrans({" ": "Ġ", "\n": "Ċ"})
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "vocab": {word.translate(letters): number for number, word in enumerate(WORDS)}, "merges": [],
        },
    }  # fmt: skip
    template = (
        "{% for message in messages %}{{ '<|im_start|>' + message.content + '<|im_end|>' }}{% endfor %}<|im_start|>"
    )
    files: dict[str, Any] = {
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": {"eos_token": {"content": "<|im_end|>"}, "bos_token": None},
        "config.json": {"model_type": "tiny", "max_position_embeddings": CONTEXT, "eos_token_id": 1},
        "generation_config.json": {"eos_token_id": [1]},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "chat_template.jinja").write_text(template)
    path = folder / "model.onnx"
    path.write_bytes(tiny_decoder() if model is None else model)
    return path


def scatter(path: Path, names: Sequence[str] = ("model.onnx_data", "model.onnx_data_1")) -> Path:
    """Move the weights of a model into other files beside it, in turn."""
    model = onnx.load(str(path))
    written = dict.fromkeys(names, b"")
    for index, tensor in enumerate(model.graph.initializer):
        if len(tensor.raw_data) < 64:
            continue
        name = names[index % len(names)]
        begin = -(-len(written[name]) // 64) * 64
        written[name] = written[name].ljust(begin, b"\0") + tensor.raw_data
        for key, value in (("location", name), ("offset", begin), ("length", len(tensor.raw_data))):
            tensor.external_data.add(key=key, value=str(value))
        tensor.data_location = T.EXTERNAL
        tensor.ClearField("raw_data")
    path.write_bytes(model.SerializeToString())
    for name, content in written.items():
        (path.parent / name).write_bytes(content)
    return path

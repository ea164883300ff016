from __future__ import annotations

from pathlib import Path

import pytest
from fakes.tiny_gguf import CHATML, CONTEXT, LAYERS

from mongarsd.ground.errors import InvalidModel
from mongarsd.inference.llama.model import Model


def test_facts_come_from_the_file(tiny_path: Path) -> None:
    model = Model(str(tiny_path))
    assert (model.architecture, model.layers, model.context_train) == ("llama", LAYERS, CONTEXT)
    assert model.parameters > 50_000
    assert model.template == CHATML
    assert model.kv_bytes_per_token() == 2 * 2 * LAYERS * 2 * 16  # f16, K and V, layers, KV heads, head size
    assert model.metadata("no.such.key") is None
    model.close()
    model.close()


def test_gpu_layers_without_a_gpu_are_ignored_aloud(tiny_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = Model(str(tiny_path), gpu_layers=99)
    if not model._lib.llama_supports_gpu_offload():
        assert "gpu_layers = 99 has no effect" in caplog.text
    model.close()


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="no model file"):
        Model(str(tmp_path / "none.gguf"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"GGUF",
        lambda data: b"not a model at all" * 100,
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"llama", b"lxxma"),
    ],
)
def test_a_damaged_file_is_refused_with_the_librarys_reason(tiny_path: Path, tmp_path: Path, damage) -> None:
    path = tmp_path / "damaged.gguf"
    path.write_bytes(damage(tiny_path.read_bytes()))
    with pytest.raises(InvalidModel, match=r"cannot load damaged.gguf \((?!no reason)"):
        Model(str(path))

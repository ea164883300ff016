from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.models.names import Kind, name_from_file, store_path, valid_digest, valid_name

ROOT = Path("/state")
DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize("name", ["a", "A1", "qwen2.5-0.5b_x", "x" * 64])
def test_names(name: str) -> None:
    assert valid_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "-a", ".a", "a/b", "a:b", "a\n", "é", "x" * 65, "a\0", "../a"])
def test_bad_names(name: str) -> None:
    with pytest.raises(BadRequest) as caught:
        valid_name(name)
    assert caught.value.param == "name"


def test_digests() -> None:
    assert valid_digest(DIGEST) == DIGEST
    for bad in (DIGEST.upper(), DIGEST[:-1], DIGEST + "0", DIGEST + "\n", "md5:" + "0" * 64, "sha256:../" + "0" * 61):
        with pytest.raises(BadRequest):
            valid_digest(bad)


@settings(deadline=None)
@given(st.sampled_from(Kind), st.text() | st.from_regex(r"[./\\a-z0-9:-]{0,80}"))
def test_no_key_leaves_its_folder(kind: Kind, key: str) -> None:
    try:
        path = store_path(ROOT, kind, key)
    except BadRequest:
        return
    folder = ROOT / "models" / kind.value[0]
    assert path.parent == folder
    assert path.resolve().parent == folder
    assert len(path.name.encode()) < 150


@settings(deadline=None)
@given(st.sampled_from([kind for kind in Kind if kind is not Kind.MANIFEST]), st.data())
def test_different_keys_give_different_paths(kind: Kind, data: st.DataObject) -> None:
    keys = st.from_regex(kind.value[1], fullmatch=True)
    one, other = data.draw(keys), data.draw(keys)
    assert (store_path(ROOT, kind, one) == store_path(ROOT, kind, other)) == (one == other)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("sub/SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct.q4_1"),
        ("a b(1).GGUF", "a-b-1-"),
        ("_x.gguf", "x"),
        ("y" * 90 + ".gguf", "y" * 64),
    ],
)
def test_name_from_file(file: str, name: str) -> None:
    assert name_from_file(file) == name


@settings(deadline=None)
@given(st.text())
def test_name_from_any_file_is_valid_or_refused(file: str) -> None:
    try:
        name = name_from_file(file)
    except BadRequest:
        return
    assert valid_name(name)

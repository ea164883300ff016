from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.inference.text.utf8 import decode


def decode_all(pieces: list[bytes]) -> str:
    texts, pending = [], b""
    for piece in pieces:
        text, pending = decode(pending, piece)
        assert len(pending) <= 3
        texts.append(text)
    return "".join(texts) + decode(pending, b"", final=True)[0]


# Lead and continuation bytes, so that almost-characters are common.
awkward = st.lists(
    st.sampled_from([*b"a\x80\xa0\xbf\xc0\xc3\xe0\xed\xe4\xef\xf0\xf4\xf5\xff\x9f\x90"]), max_size=12
).map(bytes)


@given(st.lists(st.one_of(st.binary(max_size=6), awkward, st.text(max_size=4).map(str.encode)), max_size=8))
def test_any_split_gives_what_the_replace_policy_gives(pieces: list[bytes]) -> None:
    assert decode_all(pieces) == b"".join(pieces).decode("utf-8", "replace")


@given(st.text(max_size=20))
def test_single_bytes_give_the_text(text: str) -> None:
    assert decode_all([bytes([byte]) for byte in text.encode()]) == text


@pytest.mark.parametrize(
    ("pending", "piece", "text", "rest"),
    [
        (b"", b"abc", "abc", b""),
        (b"", b"a\xf0\x9f", "a", b"\xf0\x9f"),
        (b"\xf0\x9f", b"\x98\x80!", "😀!", b""),
        (b"\xf0\x9f", b"x", "�x", b""),  # certain at once: it can no longer become a character
        (b"\xed\xa0", b"\x80", "���", b""),  # a surrogate
    ],
)
def test_what_is_held_back(pending: bytes, piece: bytes, text: str, rest: bytes) -> None:
    assert decode(pending, piece) == (text, rest)

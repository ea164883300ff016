from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.client import lines as module
from mongarsd.client.errors import NotUnderstood
from mongarsd.client.lines import Lines, ServerSent

text = st.text(alphabet=st.characters(blacklist_characters="\r\n", blacklist_categories=("Cs",)))
cuts = st.lists(st.integers(1, 9), min_size=1)


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    """`data` cut into pieces of these sizes, over and over."""
    found, at = [], 0
    while at < len(data):
        size = sizes[len(found) % len(sizes)]
        found.append(data[at : at + size])
        at += size
    return found


@given(st.lists(text), cuts)
def test_lines_come_back_however_they_are_cut(wanted: list[str], sizes: list[int]) -> None:
    data = "".join(f"{line}\n" for line in wanted).encode() + b"rest"
    lines = Lines()
    assert [line.decode() for piece in pieces(data, sizes) for line in lines.feed(piece)] == wanted


@given(st.lists(st.lists(text, min_size=1)), st.sampled_from(["\n", "\r\n"]), cuts)
def test_every_event_comes_back(events: list[list[str]], end: str, sizes: list[int]) -> None:
    data = ""
    for event in events:
        data += f": ping{end}{end}" + "".join(f"data: {line}{end}" for line in event) + end
    reader = ServerSent()
    found = [one for piece in pieces(data.encode(), sizes) for one in reader.feed(piece)]
    assert found == ["\n".join(event).encode() for event in events]


def test_an_event_without_its_blank_line_is_incomplete() -> None:
    assert list(ServerSent().feed(b"data: 1\n\ndata: 2\n")) == [b"1"]


def test_other_fields_and_a_missing_space() -> None:
    assert list(ServerSent().feed(b"event: x\nid: 7\ndata:1\n\n")) == [b"1"]


@pytest.mark.parametrize("kind", [Lines, ServerSent])
def test_what_never_ends_is_not_kept(kind: type[Lines | ServerSent], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LINE", 100)
    reader = kind()
    piece = b"data: 34567890\n" if kind is ServerSent else b"x" * 15
    with pytest.raises(NotUnderstood):
        list(itertools.chain.from_iterable(reader.feed(piece) for _ in range(9)))

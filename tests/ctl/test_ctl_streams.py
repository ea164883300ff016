from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.ctl.streams import sse

text = st.text(alphabet=st.characters(blacklist_characters="\r\n", blacklist_categories=("Cs",)))


@given(st.lists(st.lists(text, min_size=1)), st.sampled_from(["\n", "\r\n"]))
def test_every_event_comes_back(events: list[list[str]], end: str) -> None:
    lines = []
    for event in events:
        lines += [b": ping" + end.encode(), end.encode()]
        lines += [f"data: {line}{end}".encode() for line in event] + [end.encode()]
    assert list(sse(lines)) == ["\n".join(event).rstrip("\r").encode() for event in events]


def test_an_event_without_its_blank_line_is_incomplete() -> None:
    assert list(sse([b"data: 1\n", b"\n", b"data: 2\n"])) == [b"1"]


def test_other_fields_and_a_missing_space() -> None:
    assert list(sse([b"event: x\n", b"id: 7\n", b"data:1\n", b"\n"])) == [b"1"]

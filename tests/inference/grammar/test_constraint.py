from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.inference.grammar.constraint import Watch


@given(st.lists(st.binary(max_size=4), min_size=1))
def test_what_follows_the_texts_is_told_once_however_the_answer_is_cut(pieces: list[bytes]) -> None:
    watch = Watch(("</a>", "<b"))
    answer = [*pieces, b"x</", b"a>", *pieces, b"<b>\n", b"more", *pieces]
    told = [rest for piece in answer if (rest := watch.feed(piece)) is not None]
    text, place = b"".join(answer), 0
    for wanted in (b"</a>", b"<b"):
        place = text.index(wanted, place) + len(wanted)
    assert len(told) == 1
    assert text[place:].startswith(told[0])
    assert not watch.waiting


def test_nothing_is_told_before() -> None:
    watch = Watch(("</a>",))
    assert [watch.feed(piece) for piece in (b"<", b"/a", b"b>", b"</a")] == [None] * 4
    assert watch.waiting
    assert watch.feed(b">") == b""

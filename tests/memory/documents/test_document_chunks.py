"""Chunking: nothing is lost, order is kept, sizes are bounded, structure is respected."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.memory.documents.chunks import Chunk, Counter, cut, tokens
from mongarsd.memory.documents.markdown import read_markdown
from mongarsd.memory.documents.structure import Document, Heading

WORDS = st.sampled_from(
    ["a", "Zeus", "naïve", "3.14", "water.", "Why?\n", "\n\n", "\n", " ", "語", "x" * 70, "!", "\t"]
)
TEXTS = st.lists(WORDS, max_size=120).map(" ".join)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    text = draw(TEXTS)
    places = st.lists(st.integers(0, len(text)), max_size=8, unique=True).map(sorted)
    headings = tuple(Heading(at, draw(st.integers(1, 6)), f"h{at}") for at in draw(places))
    return Document(text, headings, tuple([0, *(at for at in draw(places) if at)] if draw(st.booleans()) else ()))


def letters(text: str) -> int:
    return len(text)


@given(documents(), st.integers(1, 60), st.floats(0, 0.5), st.sampled_from([tokens, letters]))
def test_nothing_is_lost_order_is_kept_and_sizes_are_bounded(
    document: Document, most: int, share: float, count: Counter
) -> None:
    chunks = list(cut(document, most=most, overlap=int(most * share), count=count))
    seen = bytearray(len(document.text))
    for chunk in chunks:
        text = document.text[chunk.start : chunk.end]
        assert text == text.strip() != ""
        assert count(text) <= chunk.tokens <= most
        assert chunk.page == document.page(chunk.start)
        seen[chunk.start : chunk.end] = b"\1" * (chunk.end - chunk.start)
    assert [char for char, got in zip(document.text, seen, strict=True) if not got and not char.isspace()] == []
    for before, after in pairwise(chunks):
        assert before.start < after.start
        assert before.end < after.end


@given(documents(), st.integers(1, 60))
def test_without_overlap_no_character_is_in_two_chunks(document: Document, most: int) -> None:
    for before, after in pairwise(cut(document, most=most, overlap=0)):
        assert before.end <= after.start


@given(TEXTS, TEXTS)
def test_two_texts_together_never_have_more_tokens(first: str, second: str) -> None:
    assert tokens(first + second) <= tokens(first) + tokens(second)


@pytest.mark.parametrize(
    ("text", "number"),
    [("", 0), ("  \n", 0), ("water", 1), ("extraordinarily", 3), ("3.14159", 4), ("日本語", 3), ("a b, c!", 5)],
)
def test_tokens_are_estimated(text: str, number: int) -> None:
    assert tokens(text) == number


def shown(document: Document, **limits: int) -> list[tuple[tuple[str, ...], str]]:
    return [(chunk.headings, document.text[chunk.start : chunk.end]) for chunk in cut(document, **limits)]


def test_a_chunk_knows_the_headings_above_it() -> None:
    document = read_markdown(
        b"Before.\n\n# Bread\nFlour and water, kneaded well.\n\n## Oven\nBake it for an hour at least.\n"
        b"# Soup\nBoil all of it for a long time.\n"
    )
    assert [path for path, _ in shown(document, most=12, overlap=0)] == [(), ("Bread",), ("Bread", "Oven"), ("Soup",)]


def test_a_bare_title_goes_with_what_follows() -> None:
    document = read_markdown(b"# Bread\n\n## Oven\nBake it for an hour.\n")
    assert shown(document, most=80, overlap=0) == [(("Bread", "Oven"), "# Bread\n\n## Oven\nBake it for an hour.")]


def test_a_full_chunk_ends_with_its_paragraph() -> None:
    text = "One two three four five.\n\nSix seven. Eight nine ten."
    assert [part for _, part in shown(Document(text), most=9, overlap=0)] == text.split("\n\n")


def test_the_overlap_is_whole_sentences() -> None:
    text = "One two. Three four. Five six. Seven eight."
    assert [part for _, part in shown(Document(text), most=7, overlap=3)] == [
        "One two. Three four.",
        "Three four. Five six.",
        "Five six. Seven eight.",
    ]


def test_pages_are_counted_from_one() -> None:
    document = Document("One.\n\nTwo.\n\nThree.", pages=(0, 6, 12))
    assert list(cut(document, most=2, overlap=0)) == [
        Chunk(0, 4, 2, (), 1),
        Chunk(6, 10, 2, (), 2),
        Chunk(12, 18, 2, (), 3),
    ]

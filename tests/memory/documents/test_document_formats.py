"""What is read out of each format."""

from __future__ import annotations

import contextlib

import pytest
from fakes.pdf_files import build_pdf
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.memory.documents.formats import reader_for
from mongarsd.memory.documents.html import read_html
from mongarsd.memory.documents.markdown import read_markdown
from mongarsd.memory.documents.pdf import read_pdf
from mongarsd.memory.documents.plain import read_text
from mongarsd.memory.documents.structure import Document, Unreadable


def titles(document: Document) -> list[tuple[int, str]]:
    for heading in document.headings:
        assert heading.title.split()[0] in document.text[heading.start :].split("\n")[0]
    return [(heading.level, heading.title) for heading in document.headings]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("naïve\r\nline\rend".encode(), "naïve\nline\nend"),
        ("\ufeffmark".encode(), "mark"),
        ("sechzehn ü".encode("utf-16"), "sechzehn ü"),
        ("Grüße".encode("cp1252"), "Grüße"),
    ],
)
def test_text_comes_in_many_encodings(data: bytes, text: str) -> None:
    assert read_text(data).text == text


def test_binary_data_is_no_text() -> None:
    with pytest.raises(Unreadable) as caught:
        read_text(b"\x7fELF\0\0")
    assert not caught.value.supported


def test_markdown_headings() -> None:
    source = "# One #\ntext\n\nTwo\n---\n```sh\n# no heading\n```\n\n### Three\n\n- list\n---\n#nothing\n| a |\n|---|\n"
    document = read_markdown(source.encode())
    assert document.text == source
    assert [title for title in titles(document) if title[1] != "- list"] == [(1, "One"), (2, "Two"), (3, "Three")]


def test_html_is_text_with_headings() -> None:
    page = """<!DOCTYPE html><html><head><title>T</title><style>p{}</style></head><body>
      <nav><ul><li>Home</ul></nav><h1>Bread &amp; <em>butter</em><a class="headerlink" href="#">¶</a></h1>
      <p>Flour,
         water<br>salt.</p><div><p>More</p></div><script>if (a < b) alert("x")</script>
      <ul><li>one<li>two</ul><pre>  keep
   this</pre><table><tr><td>a</td><td>b</td></tr></table><h2>End</h2>bye</body></html>"""
    document = read_html(page.encode())
    assert titles(document) == [(1, "Bread & butter"), (2, "End")]
    assert document.text.split("\n") == [
        "Bread & butter", "", "Flour, water", "salt.", "", "More", "", "- one", "- two", "", "  keep", "   this", "",
        "a\tb", "", "End", "", "bye",
    ]  # fmt: skip


def test_an_element_that_is_never_closed_takes_nothing_along() -> None:
    assert "kept" in read_html(b"<body><nav>menu<p>kept").text


def test_html_says_its_encoding() -> None:
    assert read_html("<meta charset=iso-8859-2><p>Łódź".encode("iso-8859-2")).text == "Łódź"
    assert read_html("<meta charset=nonsense><p>é".encode()).text == "é"


@given(st.text(alphabet="<>/abdhinprstuv1&;=\"' -!", max_size=200))
def test_any_html_and_markdown_can_be_read(source: str) -> None:
    for read in (read_html, read_markdown):
        document = read(source.encode())
        starts = [heading.start for heading in document.headings]
        assert starts == sorted(starts)
        assert all(0 <= start < len(document.text) for start in starts)


def test_a_pdf_has_pages() -> None:
    document = read_pdf(build_pdf(["Bread (fresh)\nand butter", "Soup"]))
    assert "Bread (fresh)" in document.text
    assert [document.page(document.text.index(word)) for word in ("Bread", "butter", "Soup")] == [1, 1, 2]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"%PDF-1.4\nnothing of the kind", "damaged"),
        (build_pdf(["text"])[:-200], "damaged|no text"),
        (build_pdf([""]), "OCR"),
    ],
)
def test_a_pdf_without_text_is_refused_with_a_reason(data: bytes, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        read_pdf(data)


@given(st.data())
def test_a_damaged_pdf_never_ends_in_another_error(data: st.DataObject) -> None:
    good = bytearray(build_pdf(["Bread and butter", "Soup"]))
    for _ in range(data.draw(st.integers(1, 6))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Unreadable):
        assert read_pdf(bytes(good)).text.strip()


@pytest.mark.parametrize(
    ("name", "head", "reader"),
    [
        ("a.txt", b"text", read_text),
        ("a.md", b"# text", read_markdown),
        ("a.HTM", b"<p>", read_html),
        ("a", b"  <!DOCTYPE HTML>", read_html),
        ("a.txt", b"%PDF-1.7", read_pdf),
        ("a.pdf", b"text", read_text),
    ],
)
def test_the_first_bytes_and_then_the_name_say_the_format(name: str, head: bytes, reader: object) -> None:
    assert reader_for(name, head) is reader


def test_an_office_document_is_refused_with_what_to_do() -> None:
    with pytest.raises(Unreadable, match="save it as PDF"):
        reader_for("a.docx", b"PK\x03\x04")

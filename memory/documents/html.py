"""HTML to text with headings. No browser: what a style sheet hides stays, what is for moving about the site goes."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from mongarsd.memory.documents.plain import decode
from mongarsd.memory.documents.structure import Document, Heading

_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\n\r\f\v]+")
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
#: A blank line before and after.
_BLOCKS = frozenset(
    "address article aside blockquote body dd details div dl dt fieldset figcaption figure form header hr html main ol"
    " p pre section summary table ul".split()
) | frozenset(_HEADINGS)
_LINES = frozenset(("br", "li", "tr", "option"))  # a new line
_CELLS = frozenset(("td", "th"))
_UNSEEN = frozenset(("script", "style", "template", "noscript", "svg", "head"))
_SITE = frozenset(("nav", "footer"))
#: What may stand between two words, from weak to strong.
_STRENGTH = ("", " ", "\t", "\n", "\n\n")


def read_html(data: bytes) -> Document:
    match = _CHARSET.search(data[:4096])
    source = decode(data, match[1].decode("ascii") if match else "")
    for left_out in (_UNSEEN | _SITE, frozenset(("script", "style"))):
        parser = _Text(left_out)
        parser.feed(source)
        parser.close()
        if not parser.skipping:
            break  # else something was never closed, and took the rest of the page along: take it all
    return parser.document()


class _Text(HTMLParser):
    def __init__(self, left_out: frozenset[str]) -> None:
        super().__init__(convert_charrefs=True)
        self._left_out = left_out
        self._parts: list[str] = []
        self._size = 0  # characters in `_parts`
        self._wanted = ""  # whitespace owed before the next word
        self._headings: list[Heading] = []
        self._heading: tuple[int, int] | None = None  # level, and its first part
        self._pre = 0
        self._skipped, self._depth = "", 0  # the element being left out, and how many of its name are open

    @property
    def skipping(self) -> bool:
        return self._depth > 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.skipping:
            self._depth += tag == self._skipped
            return
        values = dict(attrs)
        # Sphinx, which makes most documentation: its sidebar's role, and the ¶ beside each heading
        site = values.get("role") == "navigation" or "headerlink" in (values.get("class") or "")
        if tag in self._left_out or (site and self._left_out >= _SITE):
            self._skipped, self._depth = tag, 1
        elif tag in _BLOCKS:
            self._want("\n\n")
            self._pre += tag == "pre"
        elif tag in _LINES:
            self._want("\n")
            if tag == "li":
                self._put("- ")
        elif tag in _CELLS:
            self._want("\t")
        if level := _HEADINGS.get(tag):
            self._heading = (level, len(self._parts))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self.skipping and tag not in self._left_out:
            self.handle_starttag(tag, attrs)
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.skipping:
            self._depth -= tag == self._skipped
            return
        if tag in _HEADINGS and self._heading:
            level, first = self._heading
            self._heading = None
            said = "".join(self._parts[first:]).lstrip()
            if title := _SPACE.sub(" ", said).strip():
                self._headings.append(Heading(self._size - len(said), level, title))
        if tag in _BLOCKS:
            self._want("\n\n")
            if tag == "pre":
                self._pre = max(self._pre - 1, 0)

    def handle_data(self, data: str) -> None:
        if self.skipping:
            return
        if self._pre:
            self._put(data)
            return
        words = _SPACE.sub(" ", data)
        if words.startswith(" "):
            self._want(" ")
        if word := words.strip(" "):
            self._put(word)
            if words.endswith(" "):
                self._want(" ")

    def _want(self, space: str) -> None:
        """The strongest of what is asked for between two words is written, once."""
        self._wanted = max(self._wanted, space, key=_STRENGTH.index)

    def _put(self, text: str) -> None:
        text = (self._wanted if self._parts else "") + text
        self._wanted = ""
        self._parts.append(text)
        self._size += len(text)

    def document(self) -> Document:
        return Document("".join(self._parts), tuple(self._headings))

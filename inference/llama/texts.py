"""Texts and pairs of texts as a reading model wants them: its special tokens around, never in what clients send."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence

from mongarsd.ground.errors import BadRequest, InvalidModel
from mongarsd.inference.embed.batches import Tokens
from mongarsd.inference.embed.whole import too_long
from mongarsd.inference.llama.tokens import Vocabulary

#: Characters looked at for each token the model reads; what is longer than that is cut anyway, and would cost time.
CHARACTERS = 64


class Texts:
    """An `embedder.Tokenizer`. Thread-safe."""

    def __init__(self, vocabulary: Vocabulary, context: int, template: str | None) -> None:
        """`template`: how the model wants a query and a document, with {query} and {document} in it (Qwen3).

        Raises InvalidModel.
        """
        self._vocabulary = vocabulary
        self._context = context
        self._begin, self._end = vocabulary.around()
        if template is not None and (template.count("{query}"), template.count("{document}")) != (1, 1):
            raise InvalidModel("The model's template for ranking does not have one {query} and one {document}.")
        self._template = template

    def __call__(self, texts: Sequence[str], *, whole: bool = False) -> list[Tokens]:
        return [self._text(text, index if whole else None) for index, text in enumerate(texts)]

    def pairs(self, query: str, documents: Sequence[str]) -> list[Tokens]:
        asked = self._plain(query)
        if len(asked) > self._context // 2:
            raise BadRequest(
                f"query: it has {len(asked)} tokens or more, and at most {self._context // 2} leave room for documents",
                param="query",
            )
        before, between, after, swapped = self._frame()
        room = self._context - len(before) - len(between) - len(after) - len(asked)
        if room < 1:
            raise InvalidModel(f"A context of {self._context} tokens is too short for this model: raise it.")
        found = []
        for document in documents:
            parts = (asked, self._plain(document)[:room])
            first, second = reversed(parts) if swapped else parts
            found.append(array("i", [*before, *first, *between, *second, *after]))
        return found

    def _text(self, text: str, whole: int | None) -> Tokens:
        """`whole`: its place, if it may not be cut. Raises ContextOverflow."""
        around = len(self._begin) + len(self._end)
        plain = self._plain(text)
        room = self._context - around
        if whole is not None and (len(plain) > room or len(text) > self._context * CHARACTERS):
            raise too_long(whole, max(len(plain) + around, self._context + 1), self._context)
        return array("i", [*self._begin, *plain[:room], *self._end] or [max(self._vocabulary.eos, 0)])

    def _frame(self) -> tuple[list[int], list[int], list[int], bool]:
        """Tokens before, between and after query and document, and whether the document comes first.

        Without a template [BOS] query [EOS] [SEP] document [EOS], each where the vocabulary asks for it, as llama.cpp
        does; but BERT's last [SEP], which that forgets, is there.
        """
        vocabulary = self._vocabulary
        if self._template is not None:
            parts = re.split(r"\{query\}|\{document\}", self._template)
            before, between, after = (vocabulary.tokenize(part, special=True) for part in parts)
            return vocabulary.begin(before), between, after, "{document}" in self._template.partition("{query}")[0]
        return self._begin, vocabulary.between(), self._end, False

    def _plain(self, text: str) -> list[int]:
        return self._vocabulary.tokenize(text[: self._context * CHARACTERS], special=False)

"""Texts to tokens, with the model's own tokenizer.json."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from typing import Any

from mongarsd.ground.errors import BadRequest, InvalidModel
from mongarsd.inference.embed.batches import Tokens
from mongarsd.inference.embed.whole import too_long

#: Characters looked at for each token the model reads; what is longer than that is cut anyway, and would cost memory.
CHARACTERS = 64
#: Texts handed over at once: the library lets other threads run meanwhile, and keeps 150 bytes a token until the end.
TOGETHER = 8


class Tokenizer:
    def __init__(self, path: str, context: int) -> None:
        """Raises InvalidModel."""
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the cores belong to the model
        import tokenizers  # 10 MB that only this worker needs

        self._characters = context * CHARACTERS
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(path)
            self._tokenizer.no_padding()
            self._tokenizer.enable_truncation(context)
            self._context = context
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the library panics with a class of its own, outside Exception
            raise InvalidModel(f"The tokenizer of the model cannot be used: {str(error)[:300]}") from None

    @property
    def vocabulary(self) -> int:
        return self._tokenizer.get_vocab_size()

    def __call__(self, texts: Sequence[str], *, whole: bool = False) -> list[Tokens]:
        """Each text's tokens with the special ones, cut at the model's context. Raises ContextOverflow if they should
        be `whole` and are not."""
        found: list[Tokens] = []
        for start in range(0, len(texts), TOGETHER):
            some = [text[: self._characters] for text in texts[start : start + TOGETHER]]
            encodings = self._tokenizer.encode_batch_fast(some)
            if whole:
                self._check_whole(texts, start, encodings)
            found += [array("i", encoding.ids) for encoding in encodings]
        return found

    def _check_whole(self, texts: Sequence[str], start: int, encodings: Sequence[Any]) -> None:
        """Raises ContextOverflow."""
        special = self._tokenizer.num_special_tokens_to_add(False)
        for index, encoding in enumerate(encodings, start):
            if encoding.overflowing or len(texts[index]) > self._characters:
                size = len(encoding.ids) + sum(len(part.ids) - special for part in encoding.overflowing)
                raise too_long(index, max(size, self._context + 1), self._context)

    def pairs(self, query: str, documents: Sequence[str]) -> list[Tokens]:
        asked = query[: self._characters]
        size = len(self._tokenizer.encode(asked, add_special_tokens=False).ids)
        most = (self._context - self._tokenizer.num_special_tokens_to_add(True)) // 2  # then only documents are cut
        if size > most:
            raise BadRequest(
                f"query: it has {size} tokens or more, and at most {most} leave room for documents",
                param="query",
            )
        found: list[Tokens] = []
        for start in range(0, len(documents), TOGETHER):
            some = [(asked, text[: self._characters]) for text in documents[start : start + TOGETHER]]
            found += [_marked(encoding) for encoding in self._tokenizer.encode_batch_fast(some)]
        return found


def _marked(pair: Any) -> Tokens:
    return array("i", (~token if second else token for token, second in zip(pair.ids, pair.type_ids, strict=True)))

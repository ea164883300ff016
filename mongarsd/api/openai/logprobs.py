"""Log-probabilities in OpenAI's two shapes."""

from __future__ import annotations

import codecs
from collections.abc import Iterable

from msgspec import structs

from mongarsd.api.openai.answers import ChatLogprobs, CompletionLogprobs, ContentLogprob, TopLogprob
from mongarsd.ground.job import TokenLogprob

#: Stands for minus infinity, which JSON has no word for; OpenAI's own number.
NEVER = -9999.0


def chat_logprobs(tokens: Iterable[TokenLogprob]) -> ChatLogprobs:
    return ChatLogprobs([
        ContentLogprob(
            _text(token.piece),
            finite(token.logprob),
            list(token.piece),
            [TopLogprob(_text(piece), finite(logprob), list(piece)) for _, piece, logprob in token.top],
        )
        for token in tokens
    ])  # fmt: skip


class CompletionShape:
    """The shape of plain completions; remembers, across deltas, how much text there was."""

    def __init__(self) -> None:
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def __call__(self, tokens: Iterable[TokenLogprob], alternatives: int) -> CompletionLogprobs:
        """`alternatives`: how many the request asked for; with 0 there is no `top_logprobs`."""
        made = CompletionLogprobs([], [], [] if alternatives else None, [])
        for token in tokens:
            made.tokens.append(_text(token.piece, "bytes:"))
            made.token_logprobs.append(finite(token.logprob))
            made.text_offset.append(self._offset)
            self._offset += len(self._decoder.decode(token.piece))
            if made.top_logprobs is not None:
                made.top_logprobs.append({_text(piece, "bytes:"): finite(logprob) for _, piece, logprob in token.top})
        return made


def as_json_knows_it(token: TokenLogprob) -> TokenLogprob:
    top = tuple((number, piece, finite(logprob)) for number, piece, logprob in token.top)
    return structs.replace(token, logprob=finite(token.logprob), top=top)


def finite(logprob: float) -> float:
    return max(NEVER, logprob)  # in this order NaN becomes NEVER too


def _text(piece: bytes, prefix: str = "") -> str:
    r"""The piece, or `\xf0\x9f` for part of a character."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return prefix + "".join(f"\\x{byte:02x}" for byte in piece)

"""A job's prompt as tokens: chat template, special tokens, and what a message may not contain."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from mongarsd.ground.errors import BadRequest, ContextOverflow, InvalidModel
from mongarsd.ground.job import Job, Message
from mongarsd.inference.engine.base import Form, Prompt
from mongarsd.inference.text import form
from mongarsd.inference.text.guard import Guard
from mongarsd.inference.text.template import ChatTemplate
from mongarsd.inference.text.tools.detect import GENERIC, detect

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{{ '<|im_start|>assistant\n' }}"  # in quotes, because Jinja drops a newline at the very end
)
#: For a model that was never taught roles. It does not know when to end: give it stop strings such as "\nUser:".
PLAIN = "{% for message in messages %}{{ message.role | capitalize }}: {{ message.content }}\n\n{% endfor %}Assistant:"

#: Characters a token never exceeds in ordinary text (about 4): below this a prompt is simply tokenised.
USUAL = 16

log = logging.getLogger(__name__)


class Vocabulary(Protocol):
    """What is needed of a model's vocabulary. Thread-safe."""

    size: int
    bos: int  # -1 = none
    eos: int

    @property
    def longest(self) -> int:
        """Bytes of text that one token may stand for."""
        ...

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Tokens of `text`, nothing added. `special`: text such as <|im_end|> becomes the token of that name."""
        ...

    def begin(self, tokens: list[int]) -> list[int]:
        """With the beginning-of-sequence token where the model wants one, but never twice."""
        ...

    def name(self, token: int) -> str:
        """A special token's text; "" if the model has no such token (-1)."""
        ...

    def named(self, names: Iterable[str]) -> Mapping[int, bytes]:
        """The control tokens of these names, with their text."""
        ...

    def first_outside(self, tokens: Iterable[int]) -> int | None:
        """The first of `tokens` that is none of the model's; None if all are."""
        ...

    @property
    def infill(self) -> tuple[int, int, int] | None:
        """The tokens before, after and in the place of a gap in a text; None if the model has none."""
        ...

    def control_text(self) -> re.Pattern[str] | None:
        """Matches any text that `tokenize(special=True)` turns into a control or end token; None if there is none."""
        ...


class Prompts:
    """Thread-safe."""

    def __init__(self, vocabulary: Vocabulary, template: str | None, context: int) -> None:
        """`template` is the model's own; without one, ChatML if the vocabulary knows its tags, else plain roles.
        `context`: tokens a slot.

        With a template that cannot be compiled the model still completes text, and refuses messages with the reason.
        """
        self._vocabulary = vocabulary
        self._context = context
        self._control = vocabulary.control_text()
        if template is None:
            chatml = self._control and self._control.fullmatch("<|im_start|>") and self._control.fullmatch("<|im_end|>")
            template = CHATML if chatml else PLAIN
        self._calls = detect(template)
        self._explain = self._calls is GENERIC and "tools" not in template
        self._marks = vocabulary.named(self._calls.marks)
        bos, eos = vocabulary.name(vocabulary.bos), vocabulary.name(vocabulary.eos)
        self._last: tuple[list[tuple[str, bool]], tuple[int, ...]] = ([], ())  # pieces, and their tokens
        self._template: ChatTemplate | InvalidModel
        try:
            self._template = ChatTemplate(template, bos=bos, eos=eos)
        except InvalidModel as error:
            log.warning("%s", error)
            self._template = error

    @property
    def thinks(self) -> bool:
        return isinstance(self._template, ChatTemplate) and self._template.thinks

    def prompt(self, job: Job) -> Prompt:
        """Raises BadRequest, and InvalidModel for messages that the model's own template is to blame for."""
        if (token := self._vocabulary.first_outside(job.produced)) is not None:
            raise BadRequest(self._outside(token), param="produced")
        if job.messages is not None:
            form.check_tools(job)
            messages = form.explained(job, job.messages) if self._explain else job.messages
            pieces, param = self._render(job, messages), "messages"
            self._check_size(sum(len(text) for text, _ in pieces))
            thinking = bool(pieces) and pieces[-1][0].rstrip().endswith("<think>")
            tokens = self._vocabulary.begin(self._tokenize(pieces))
        elif job.text is not None:
            param, thinking = "prompt", False
            self._check_size(len(job.text) + len(job.suffix or ""))
            plain = self._tokenize([(job.text, True)]) if job.suffix is None else self._around(job.text, job.suffix)
            tokens = self._vocabulary.begin(plain)
        else:
            param, thinking = "prompt", False
            tokens = list(job.tokens or ())
            if (token := self._vocabulary.first_outside(tokens)) is not None:
                raise BadRequest(self._outside(token), param=param)
        if not tokens:
            raise BadRequest("the prompt is empty: it needs at least one token", param=param)
        return Prompt(tokens, thinking, self._form(job, thinking))

    def _around(self, before: str, after: str) -> list[int]:
        """The tokens of a text with a gap, as models were trained to fill it. Both texts are somebody's document, in
        which names of control tokens are text. Raises BadRequest."""
        if (marks := self._vocabulary.infill) is None:
            raise BadRequest("suffix: the model has no tokens for a gap in a text", param="suffix")
        start, end, gap = marks
        first, last = (self._vocabulary.tokenize(text, special=False) for text in (before, after))
        return [start, *first, end, *last, gap]

    def _check_size(self, characters: int) -> None:
        """Refuse what cannot fit before it is tokenised: that takes 0.3 s a megabyte, and others wait meanwhile."""
        if characters <= self._context * USUAL:
            return  # `longest` reads the whole vocabulary once
        least = characters // max(self._vocabulary.longest, 1)
        if least >= self._context:
            raise ContextOverflow(
                f"the prompt has {characters} characters, which are at least {least} tokens, and the context holds "
                f"{self._context}, answer included: shorten it, or raise inference.context",
                prompt=least,
                limit=self._context,
            )

    def _form(self, job: Job, thinking: bool) -> Form:
        """Raises BadRequest."""
        bound = form.constraint(job, self._calls, thinking=thinking)
        if job.messages is None or not job.tools:
            return Form(bound)
        return Form(bound and bound._replace(marks=frozenset(self._marks)), form.parser(job, self._calls), self._marks)

    def _render(self, job: Job, messages: tuple[Message, ...]) -> list[tuple[str, bool]]:
        """The template's output in pieces: (text, may contain control tokens)."""
        if isinstance(self._template, InvalidModel):
            raise InvalidModel(self._template.message, param="messages")
        guard = Guard(self._control)
        try:
            marked = guard.mark(_written_out(messages))
            tools, args = guard.mark(() if self._explain else job.tools), guard.mark(job.template_args)
        except RecursionError:
            raise BadRequest("the messages, tools or template_args are nested too deeply", param="messages") from None
        if guard.found:
            messages = msgspec.convert(marked, tuple[Message, ...])
        return guard.split(self._template.render(messages, tools=tools, args=args, now=datetime.now()))

    def _tokenize(self, pieces: list[tuple[str, bool]]) -> list[int]:
        """The choices of a request follow each other with the same prompt, whose tokens are made once: 2 µs each (x86).
        Its template is rendered for each, because it may tell the time."""
        before, known = self._last
        if pieces == before:
            return list(known)
        tokens: list[int] = []
        for text, special in pieces:
            # The first character apart, because a user-defined token is recognized even in plain text.
            for part in (text,) if special else (text[:1], text[1:]):
                tokens += self._vocabulary.tokenize(part, special=special)
        self._last = (pieces, tuple(tokens))  # at once, for other threads
        return tokens

    def _outside(self, token: int) -> str:
        return f"token {token} is outside the vocabulary of {self._vocabulary.size}"


def _written_out(messages: Sequence[Message]) -> Sequence[dict[str, Any]]:
    """The messages as plain values; arguments of tool calls too, because JSON can hide a tag ("\\u003c|im_end|>")."""
    plain: Sequence[dict[str, Any]] = msgspec.to_builtins(messages)
    for message in plain:
        for call in message.get("tool_calls", ()):
            function = call.get("function")
            if isinstance(function, dict) and isinstance(function.get("arguments"), str):
                try:
                    function["arguments"] = json.loads(function["arguments"])
                except (ValueError, RecursionError):
                    continue  # the template shows it as it is
    return plain

"""A job's prompt as tokens: chat template, special tokens, and what a message may not contain."""

from __future__ import annotations

import time

import msgspec

from mongarsd.ground.errors import BadRequest
from mongarsd.ground.job import Job, Message
from mongarsd.inference.engine.base import Prompt
from mongarsd.inference.llama.guard import Guard
from mongarsd.inference.llama.tokens import Vocabulary

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)
#: For a model that was never taught roles. It does not know when to end: give it stop strings such as "\nUser:".
PLAIN = "{% for message in messages %}{{ message.role | capitalize }}: {{ message.content }}\n\n{% endfor %}Assistant:"


class Prompts:
    """Thread-safe."""

    def __init__(self, vocabulary: Vocabulary, template: str | None) -> None:
        """`template` is the model's own; without one, ChatML if the vocabulary knows its tags, else plain roles."""
        # Jinja2 costs 5 MB; only a worker that renders templates pays for it.
        from mongarsd.inference.text.template import ChatTemplate

        self._vocabulary = vocabulary
        self._control = vocabulary.control_text()
        if template is None:
            chatml = self._control and self._control.fullmatch("<|im_start|>") and self._control.fullmatch("<|im_end|>")
            template = CHATML if chatml else PLAIN
        bos, eos = vocabulary.name(vocabulary.bos), vocabulary.name(vocabulary.eos)
        self._template = ChatTemplate(template, bos=bos, eos=eos)

    @property
    def thinks(self) -> bool:
        return bool(self._template.thinks)

    def prompt(self, job: Job) -> Prompt:
        """Raises BadRequest."""
        if (token := self._vocabulary.first_outside(job.produced)) is not None:
            raise BadRequest(self._outside(token), param="produced")
        if job.messages is not None:
            pieces, param = self._render(job, job.messages), "messages"
            thinking = bool(pieces) and pieces[-1][0].rstrip().endswith("<think>")
            tokens = self._vocabulary.begin(self._tokenize(pieces))
        elif job.text is not None:
            param, thinking = "prompt", False
            tokens = self._vocabulary.begin(self._vocabulary.tokenize(job.text, special=True))
        else:
            param, thinking = "prompt", False
            tokens = list(job.tokens or ())
            if (token := self._vocabulary.first_outside(tokens)) is not None:
                raise BadRequest(self._outside(token), param=param)
        if not tokens:
            raise BadRequest("the prompt is empty: it needs at least one token", param=param)
        return Prompt(tokens, thinking)

    def _render(self, job: Job, messages: tuple[Message, ...]) -> list[tuple[str, bool]]:
        """The template's output in pieces: (text, may contain control tokens)."""
        guard = Guard(self._control)
        marked = guard.mark(msgspec.to_builtins(messages))
        tools, args = guard.mark(job.tools), guard.mark(job.template_args)
        if guard.found:
            messages = msgspec.convert(marked, tuple[Message, ...])
        return guard.split(self._template.render(messages, tools=tools, args=args, now=time.time()))

    def _tokenize(self, pieces: list[tuple[str, bool]]) -> list[int]:
        tokens: list[int] = []
        for text, special in pieces:
            # The first character apart, because a user-defined token is recognized even in plain text.
            for part in (text,) if special else (text[:1], text[1:]):
                tokens += self._vocabulary.tokenize(part, special=special)
        return tokens

    def _outside(self, token: int) -> str:
        return f"token {token} is outside the vocabulary of {self._vocabulary.size}"

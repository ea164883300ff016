"""A model's chat template: messages in, prompt text out."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from mongarsd.ground.errors import BadRequest, InvalidModel
from mongarsd.ground.job import Message

MAX_SOURCE = 128 * 1024  # characters; the longest of 69 known templates has 17 k
SECONDS = 5.0  # a rendering takes milliseconds, tens on the slowest board
RESERVED = ("messages", "tools", "bos_token", "eos_token")

Turn = dict[str, Any]


def thinks(source: str) -> bool:
    """Does the template know how to reason first?"""
    return any(sign in source for sign in ("<think>", "</think>", "enable_thinking"))


class ChatTemplate:
    """Compiled once. Renderings in several threads wait for each other.

    Raises InvalidModel when the source cannot be compiled; the message names the line.
    """

    def __init__(self, source: str, *, bos: str, eos: str, seconds: float = SECONDS) -> None:
        # Jinja costs 5 MB: only a worker that has a template pays for it.
        from jinja2 import TemplateSyntaxError

        from mongarsd.inference.text.budget import Budget
        from mongarsd.inference.text.sandbox import Sandbox

        self.thinks = thinks(source)
        self._knows_developer = "developer" in source
        self._tokens = {"bos_token": bos, "eos_token": eos}
        self._seconds = seconds
        self._lock = threading.Lock()
        if len(source) > MAX_SOURCE:
            raise InvalidModel(f"the model's chat template has {len(source)} characters, {MAX_SOURCE} are the limit")
        try:
            self._sandbox = Sandbox(Budget(seconds))
            self._template = self._sandbox.from_string(source)
        except TemplateSyntaxError as error:
            what = f"line {error.lineno}: {_short(error)}"
            raise InvalidModel(f"the model's chat template cannot be compiled: {what}", line=error.lineno) from None
        except Exception as error:  # too deeply nested, absurd numbers: whatever Jinja and Python make of it
            raise InvalidModel(f"the model's chat template cannot be compiled: {_short(error)}") from error

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        args: Mapping[str, Any],
        now: datetime,
    ) -> str:
        """The prompt, with the assistant's turn opened. `args` are extra names for the template, `now` is local time.

        Raises BadRequest when the template refuses the messages or cannot handle them, InvalidModel when it does what
        no chat template needs to do. A template that refuses the system role is given its text with the first user
        message instead.
        """
        from mongarsd.inference.text.sandbox import Refusal

        if reserved := sorted(set(RESERVED).intersection(args)):
            raise BadRequest(f"chat_template_kwargs cannot replace {', '.join(reserved)}", param="chat_template_kwargs")
        turns = [self._turn(message) for message in messages]
        with self._lock:
            try:
                try:
                    return self._run(turns, tools, args, now)
                except Refusal:
                    if not any(turn["role"] == "system" for turn in turns):
                        raise
                    return self._run(_fold_system(turns), tools, args, now)
            except Refusal as refusal:
                text = f"the model's chat template refuses these messages: {_short(refusal)}"
                raise BadRequest(text, param="messages") from None

    def _run(
        self, turns: list[Turn], tools: Sequence[Mapping[str, Any]], args: Mapping[str, Any], now: datetime
    ) -> str:
        from jinja2.exceptions import SecurityError

        from mongarsd.inference.text.budget import Budget, Overrun, weigh
        from mongarsd.inference.text.sandbox import Refusal

        context = {
            "add_generation_prompt": True,
            **args,
            **self._tokens,
            "messages": turns,
            "tools": list(tools) or None,
            "strftime_now": lambda form: now.strftime(form[:256]),
        }
        self._sandbox.budget = budget = Budget(self._seconds, weigh([turns, context["tools"], dict(args)]))
        parts, size = [], 0
        try:
            for part in self._template.generate(context):
                size += len(part)
                budget.fits(size)
                parts.append(part)
        except Refusal:
            raise
        except (Overrun, SecurityError, RecursionError, OverflowError, MemoryError) as error:
            # OverflowError: a range beyond 100,000.
            text = f"the model's chat template was stopped ({_short(error)}): choose another model or copy of it"
            raise InvalidModel(text) from None
        except Exception as error:  # undefined names, None + str, …: it expects other messages than these
            text = f"the model's chat template cannot handle these messages: {_short(error)}"
            raise BadRequest(text, param="messages") from None
        return "".join(parts)

    def _turn(self, message: Message) -> Turn:
        """The message under the names templates use; what it does not have is absent."""
        role = message.role
        if role == "developer" and not self._knows_developer:
            role = "system"  # OpenAI's new word for it
        turn: Turn = {"role": role, "content": message.content}
        if message.name is not None:
            turn["name"] = message.name
        if message.reasoning is not None:
            turn["reasoning_content"] = message.reasoning
        if message.tool_calls:
            turn["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
        if message.tool_call_id is not None:
            turn["tool_call_id"] = message.tool_call_id
        return turn


def _tool_call(call: Mapping[str, Any]) -> Turn:
    """The call with its arguments as an object: OpenAI's clients send JSON text, templates write JSON themselves."""
    function = call.get("function")
    if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), str):
        return dict(call)
    try:
        arguments = json.loads(function["arguments"])
    except (ValueError, RecursionError):
        return dict(call)  # a model wrote that: the template shows it as it is
    return {**call, "function": {**function, "arguments": arguments}}


def _fold_system(turns: Sequence[Turn]) -> list[Turn]:
    """The turns without system role: its text opens the first user message."""
    system = "\n\n".join(turn["content"] for turn in turns if turn["role"] == "system")
    rest = [turn for turn in turns if turn["role"] != "system"]
    for index, turn in enumerate(rest):
        if turn["role"] == "user":
            return [*rest[:index], {**turn, "content": f"{system}\n\n{turn['content']}"}, *rest[index + 1 :]]
    return [{"role": "user", "content": system}, *rest]


def _short(error: Exception) -> str:
    """The error's text on one line of bounded length: it may quote a hostile template."""
    text = "".join(character if character.isprintable() else " " for character in str(error)[:300])
    return text.strip() or type(error).__name__

"""`mongarsctl chat`."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Annotated

import typer

from mongarsd.client import Client
from mongarsd.client.calls.chats import ChatOptions
from mongarsd.client.errors import ContextOverflow, MongarsError
from mongarsd.ctl.app import examples
from mongarsd.ctl.chat.answer import Printer
from mongarsd.ctl.chat.conversation import Conversation, Leave, Turn
from mongarsd.ctl.chat.keyboard import Keyboard, history_file
from mongarsd.ctl.chat.lines import Lines
from mongarsd.ctl.connect import connected
from mongarsd.ctl.exits import Exit, Failure
from mongarsd.ctl.interrupts import Stoppable
from mongarsd.ctl.terminal import clean_text, note

EXAMPLES = examples(
    "mongarsctl chat                                    # a conversation",
    'mongarsctl chat "Why is the sky blue?"             # one question',
    'mongarsctl chat --system "Answer in Dutch." hello',
    'dmesg | tail | mongarsctl chat "What went wrong?"  # about a text',
    "echo hi | mongarsctl chat > answer.txt             # only the answer",
)
TOO_LONG = "The conversation has become too long for the model: /clear begins anew, /save FILE keeps it."


@connected
def chat(
    client: Client,
    question: Annotated[
        list[str] | None, typer.Argument(metavar="[QUESTION]...", help="Ask this and leave; without it, chat.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", metavar="NAME", help="Not the default model.")] = None,
    system: Annotated[str, typer.Option("--system", "-s", metavar="TEXT", help="System prompt.")] = "",
    temperature: Annotated[
        float | None, typer.Option("--temperature", "-t", min=0, max=10, help="0 = always the likeliest word.")
    ] = None,
    top_p: Annotated[float | None, typer.Option("--top-p", min=0, max=1, help="Choose among this much.")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=1, help="Longest answer.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="The same seed gives the same answer.")] = None,
) -> None:
    """Chat with the model, or ask it one question."""
    request: ChatOptions = {
        "model": model,
        "temperature": temperature,
        "top_p": top_p,
        "max_tokens": max_tokens,
        "seed": seed,
    }
    text = "\n\n".join(part for part in (" ".join(question or []), _piped()) if part)
    conversation = Conversation(system)
    if text:
        _answer(client, request, conversation, text, nullcontext())
    elif sys.stdin is not None and sys.stdin.isatty():
        client.models()  # a daemon that is down is better known before one has typed
        with closing(Stoppable()) as stoppable, Keyboard(history_file(os.environ)) as keyboard:
            _converse(client, request, conversation, keyboard, stoppable)
    else:
        raise Failure("there is no question: standard input is empty", Exit.USAGE)


def _piped() -> str:
    """All of standard input when it is not a keyboard; bytes that are no UTF-8 are replaced."""
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    return sys.stdin.buffer.read().decode("utf-8", "replace").strip()


def _converse(
    client: Client, request: ChatOptions, conversation: Conversation, keyboard: Keyboard, stoppable: Stoppable
) -> None:
    """Until /exit or Ctrl-D. What goes wrong is told, and the chat goes on."""
    note(f"Chatting with {request['model'] or 'the default model'}. /help lists the commands, Ctrl-D leaves.")
    lines = Lines()
    while True:
        try:
            with stoppable:
                message = lines.feed(keyboard.line("... " if lines.pending else ">>> "))
        except EOFError:
            print(file=sys.stderr)
            return
        except KeyboardInterrupt:
            lines.clear()
            note("\nCtrl-D or /exit leaves.")
            continue
        if message is None or not message.strip():
            continue
        try:
            if message.startswith("/") and not message.startswith("//"):
                with stoppable:
                    note(clean_text(conversation.command(message)))
            else:
                _answer(client, request, conversation, message.removeprefix("/"), stoppable)
        except Leave:
            return
        except KeyboardInterrupt:
            note("(stopped)")
        except ContextOverflow:
            note(TOO_LONG)
        except MongarsError as error:
            note(clean_text(error.message))


def _answer(
    client: Client,
    request: ChatOptions,
    conversation: Conversation,
    text: str,
    stoppable: AbstractContextManager[None],
) -> None:
    """Ask, show, remember. A stopped answer is remembered as far as it came; a turn without any answer is forgotten."""
    conversation.turns.append(Turn("user", text))
    heard: list[str] = []
    printer = Printer(sys.stdout)
    finish = None
    try:
        with stoppable, client.stream(conversation.messages(), **request) as chunks:
            for choice in (choice for chunk in chunks for choice in chunk.choices):
                heard.append(choice.delta.content or "")  # first: Ctrl-C comes while it is written
                printer.write(choice.delta)
                finish = choice.finish_reason or finish
    finally:
        printer.end()
        if answer := "".join(heard):
            conversation.turns.append(Turn("assistant", answer))
        else:
            conversation.turns.pop()
    if finish == "length":
        note("(cut: the limit of tokens is reached)")

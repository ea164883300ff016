"""The events of one streamed response, in the order that OpenAI's clients rely on. Pure: deltas in, JSON out.

created, in_progress, then each output item from its `added` to its `done` before the next begins, then how it ended.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import structs

from mongarsd.api.openai.answers import ContentLogprob
from mongarsd.api.openai.logprobs import chat_logprobs
from mongarsd.api.openai.responses.answers import Failure, Response
from mongarsd.api.openai.responses.citations import citations
from mongarsd.api.openai.responses.items import (
    CallItem,
    FileSearchItem,
    Item,
    MessageItem,
    OutputText,
    ReasoningItem,
    ReasoningText,
    Status,
    item_id,
)
from mongarsd.ground.job import Delta, ToolCall
from mongarsd.memory.conversations.types import Searched

_encode = msgspec.json.Encoder().encode


class Said(NamedTuple):
    kind: str
    data: bytes  # the whole event as JSON, `kind` included


class Events:
    """`searched` if there was a search, `delta` for each, then `end` or `failed`. What comes before the first delta
    goes out with it: so a job that is refused at once can still be answered with a status."""

    def __init__(self, response: Response, turn: str) -> None:
        """`turn`: the id that the answer's turn will have."""
        self._response, self._turn = response, turn
        self._sequence = 0
        self._index = -1  # of the item that is open, or was last
        self._open: Literal["", "reasoning", "message", "call"] = ""
        self._said: list[str] = []  # in the open item
        self._logprobs: list[ContentLogprob] = []
        self._call = ToolCall(index=0)
        self._calls = self._messages = 0
        self._results: tuple[dict[str, Any], ...] = ()
        self._done: list[Item] = []
        begun = {"response": response}
        self._held = [self._event("response.created", **begun), self._event("response.in_progress", **begun)]

    def searched(self, found: Searched, *, results: bool) -> None:
        """`results`: they were asked for."""
        self._results = found.results
        name = item_id("fs", self._turn)
        self._index += 1
        begun = FileSearchItem(id=name, status="in_progress", queries=found.queries)
        done = structs.replace(begun, status="completed", results=found.results if results else None)
        self._done.append(done)
        place = {"item_id": name, "output_index": self._index}
        self._held += (
            self._event("response.output_item.added", output_index=self._index, item=begun),
            self._event("response.file_search_call.in_progress", **place),
            self._event("response.file_search_call.searching", **place),
            self._event("response.file_search_call.completed", **place),
            self._event("response.output_item.done", output_index=self._index, item=done),
        )

    def delta(self, delta: Delta) -> list[Said]:
        """Empty when there is nothing to say."""
        out: list[Said] = []
        if delta.reasoning:
            out += self._part("reasoning")
            out.append(self._piece("response.reasoning_text.delta", delta.reasoning))
        # White space between calls is no message.
        if delta.text and (self._open == "message" or not self._calls or delta.text.strip()):
            logprobs = chat_logprobs(delta.logprobs).content
            out += self._part("message")
            self._logprobs += logprobs
            out.append(self._piece("response.output_text.delta", delta.text, logprobs=logprobs))
        for piece in delta.calls:
            if piece.name:
                out += self._begin_call(piece)
            if piece.arguments:
                self._said.append(piece.arguments)
                out.append(self._at("response.function_call_arguments.delta", delta=piece.arguments))
        return self._released(out) if out else out

    def end(self, response: Response) -> list[Said]:
        """`response`: the whole."""
        empty = [] if any(not isinstance(one, FileSearchItem) for one in self._done) else self._first_message()
        last = self._close("completed" if response.status == "completed" else "incomplete")
        return self._released([*empty, *last, self._event(f"response.{response.status}", response=response)])

    def failed(self, code: str, message: str, param: str | None) -> list[Said]:
        """The last two events."""
        failed = structs.replace(self._response, status="failed", error=Failure(code, message), output=list(self._done))
        error = self._event("error", code=code, message=message, param=param)
        return self._released([error, self._event("response.failed", response=failed)])

    def _released(self, events: list[Said]) -> list[Said]:
        if not self._held:
            return events
        held, self._held = self._held, []
        return held + events

    def _first_message(self) -> list[Said]:
        """An answer without a word is an empty message."""
        return [] if self._open else self._part("message")

    def _part(self, kind: Literal["reasoning", "message"]) -> list[Said]:
        """Open an item with one part of content, unless it is the open one."""
        if self._open == kind:
            return []
        closed = self._close("completed")
        self._index += 1
        self._open, self._said = kind, []
        added: Item
        if kind == "reasoning":
            added = ReasoningItem(id=self._name, status="in_progress", content=[])
        else:
            self._messages += 1
            added = MessageItem(id=self._name, role="assistant", status="in_progress", content=[])
        return [
            *closed,
            self._event("response.output_item.added", output_index=self._index, item=added),
            self._at("response.content_part.added", content_index=0, part=self._content("")),
        ]

    def _begin_call(self, call: ToolCall) -> list[Said]:
        closed = self._close("completed")
        self._index += 1
        self._open, self._said, self._call = "call", [], call
        self._calls += 1
        item = CallItem(id=self._name, status="in_progress", call_id=call.id, name=call.name, arguments="")
        return [*closed, self._event("response.output_item.added", output_index=self._index, item=item)]

    def _close(self, status: Status) -> list[Said]:
        """The ends of the open item."""
        kind, said = self._open, "".join(self._said)
        out: list[Said] = []
        if not kind:
            return out
        item: Item
        if kind == "call":
            name = self._call.name
            out.append(self._at("response.function_call_arguments.done", name=name, arguments=said))
            item = CallItem(id=self._name, status=status, call_id=self._call.id, name=name, arguments=said)
        else:
            content = self._content(said)
            if isinstance(content, ReasoningText):
                out.append(self._at("response.reasoning_text.done", content_index=0, text=said))
                item = ReasoningItem(id=self._name, status=status, content=[content])
            else:
                for number, mark in enumerate(content.annotations):
                    out.append(
                        self._at(
                            "response.output_text.annotation.added",
                            content_index=0,
                            annotation_index=number,
                            annotation=mark,
                        )
                    )
                out.append(self._at("response.output_text.done", content_index=0, text=said, logprobs=content.logprobs))
                item = MessageItem(id=self._name, role="assistant", status=status, content=[content])
            out.append(self._at("response.content_part.done", content_index=0, part=content))
        self._done.append(item)
        out.append(self._event("response.output_item.done", output_index=self._index, item=item))
        self._open, self._logprobs = "", []
        return out

    def _content(self, said: str) -> ReasoningText | OutputText:
        if self._open == "reasoning":
            return ReasoningText(said)
        marks = citations(said, self._results)
        return OutputText(text=said, annotations=marks, logprobs=self._logprobs if said else [])

    def _piece(self, kind: str, text: str, **more: Any) -> Said:
        self._said.append(text)
        return self._at(kind, content_index=0, delta=text, **more)

    @property
    def _name(self) -> str:
        """Of the open item."""
        if self._open == "call":
            return item_id("fc", self._turn, self._calls - 1)
        if self._open == "reasoning":
            return item_id("rs", self._turn)
        return item_id("msg", self._turn, self._messages - 1 or None)

    def _at(self, kind: str, **fields: Any) -> Said:
        return self._event(kind, item_id=self._name, output_index=self._index, **fields)

    def _event(self, kind: str, **fields: Any) -> Said:
        number = self._sequence
        self._sequence += 1
        return Said(kind, _encode({"type": kind, "sequence_number": number, **fields}))

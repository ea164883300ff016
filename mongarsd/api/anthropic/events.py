"""The bytes of a stream's events. Deltas are joined from parts, as in OpenAI's chunks: one JSON string a token."""

from __future__ import annotations

from typing import Literal

import msgspec

from mongarsd.api.anthropic.answers import (
    AnswerBlock,
    AnswerMessage,
    BlockStart,
    BlockStop,
    MessageDelta,
    MessageStart,
    MessageStop,
    Ping,
    StreamedEvent,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
)
from mongarsd.ground.job import Delta

_encode = msgspec.json.Encoder().encode

_DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":%b}}\n\n'
)
_Kind = Literal["text", "thinking", "tool_use"]
_FIELDS: dict[_Kind, tuple[bytes, bytes]] = {
    "text": (b"text_delta", b"text"),
    "thinking": (b"thinking_delta", b"thinking"),
    "tool_use": (b"input_json_delta", b"partial_json"),
}


def event(value: StreamedEvent) -> bytes:
    kind = value.__struct_config__.tag
    return b"event: %b\ndata: %b\n\n" % (str(kind).encode(), _encode(value))


PING = event(Ping())


class Events:
    """Deltas in, events out. Blocks follow each other: one ends when the next begins. `called`: one was a tool's."""

    def __init__(self) -> None:
        self._index = -1
        self._open: _Kind | None = None
        self.called = False

    def start(self, message: AnswerMessage) -> bytes:
        return event(MessageStart(message))

    def delta(self, delta: Delta) -> bytes:
        """Empty when there is nothing to say."""
        out = []
        if delta.reasoning:
            out += [self._within("thinking", ThinkingBlock("")), self._piece("thinking", delta.reasoning)]
        if delta.text:
            out += [self._within("text", TextBlock("")), self._piece("text", delta.text)]
        for call in delta.calls:
            if call.name:
                self.called = True
                out.append(self._begin("tool_use", ToolUseBlock(call.id, call.name, {})))
            if call.arguments:
                out.append(self._piece("tool_use", call.arguments))
        return b"".join(out)

    def end(self, last: MessageDelta) -> bytes:
        return self._close() + event(last) + event(MessageStop())

    def _within(self, kind: _Kind, block: AnswerBlock) -> bytes:
        return b"" if self._open == kind else self._begin(kind, block)

    def _begin(self, kind: _Kind, block: AnswerBlock) -> bytes:
        closed = self._close()
        self._index += 1
        self._open = kind
        return closed + event(BlockStart(self._index, block))

    def _piece(self, kind: _Kind, text: str) -> bytes:
        return _DELTA % (self._index, *_FIELDS[kind], _encode(text))

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return event(BlockStop(self._index))

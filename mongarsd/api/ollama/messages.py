"""Ollama's messages become OpenAI's, which everything behind the API understands. Pure.

Ollama's clients send tool results without saying which call they answer, some without the tool's name (Home
Assistant): results answer the calls before them in order. Templates that want ids and names then have them.
"""

from __future__ import annotations

from collections.abc import Sequence

from mongarsd.api.ollama.requests import OllamaMessage
from mongarsd.api.openai.requests import ChatMessage, FunctionCall, ToolCall
from mongarsd.ground.errors import BadRequest


def chat_messages(messages: Sequence[OllamaMessage]) -> list[ChatMessage]:
    """Raises BadRequest for an image: no model here sees."""
    made: list[ChatMessage] = []
    waiting: list[ToolCall] = []  # calls without a result
    for i, message in enumerate(messages):
        if message.images:
            raise BadRequest(f"messages[{i}].images: this model has no vision", param=f"messages[{i}].images")
        calls = [_call(i, j, message) for j in range(len(message.tool_calls or ()))]
        name, answers = message.tool_name, message.tool_call_id
        if message.role == "tool" and (call := _answered(waiting, name, answers)):
            waiting.remove(call)
            name, answers = name or call.function.name, call.id
        made.append(
            ChatMessage(
                role=message.role,
                content=message.content or "",
                name=name if message.role == "tool" else None,
                reasoning_content=message.thinking,
                tool_calls=calls or None,
                tool_call_id=answers if message.role == "tool" else None,
            )
        )
        if message.role == "assistant":
            waiting = list(calls)
    return made


def _call(i: int, j: int, message: OllamaMessage) -> ToolCall:
    call = (message.tool_calls or ())[j]
    # Nine letters and digits: Mistral's templates take no other ids.
    return ToolCall(FunctionCall(call.function.name, call.function.arguments), id=call.id or f"c{i % 10**4:04}{j:04}")


def _answered(waiting: Sequence[ToolCall], name: str | None, answers: str | None) -> ToolCall | None:
    """By its id, else the first of its name, else the first."""
    if answers and (found := next((call for call in waiting if call.id == answers), None)):
        return found
    return next((call for call in waiting if name in (None, "", call.function.name)), None)

"""The routes of the Messages API."""

from __future__ import annotations

from mongarsd.api.anthropic.answers import AnswerMessage, StreamedEvent, TokenCount
from mongarsd.api.anthropic.messages import count_tokens, create_message
from mongarsd.api.anthropic.requests import CountRequest, MessagesRequest
from mongarsd.api.openapi import Route

ROUTES = (
    Route(
        "POST", "/v1/messages", create_message, "Answer a conversation, as Anthropic does",
        MessagesRequest, AnswerMessage, {"text/event-stream": StreamedEvent},
    ),
    Route(
        "POST", "/v1/messages/count_tokens", count_tokens, "How many tokens its prompt has", CountRequest, TokenCount
    ),
)  # fmt: skip

"""The routes of responses and conversations."""

from __future__ import annotations

from mongarsd.api.openai.responses import conversation_items, conversations, stored
from mongarsd.api.openai.responses.answers import InputTokens, Response, ResponseDeleted, StreamEvent
from mongarsd.api.openai.responses.conversations import ConversationDeleted, ConversationList, ConversationObject
from mongarsd.api.openai.responses.counting import count_input_tokens
from mongarsd.api.openai.responses.create import create_response
from mongarsd.api.openai.responses.items import Item, ItemList
from mongarsd.api.openai.responses.requests import ChangedConversation, NewConversation, NewItems, ResponseRequest
from mongarsd.api.openapi import Route
from mongarsd.memory.conversations.export import Exported

_RESPONSE = "/v1/responses/{response}"
_CONVERSATION = "/v1/conversations/{conversation}"
_ITEM = _CONVERSATION + "/items/{item}"
_EXPORT = {"application/x-ndjson": Exported, "text/markdown": None}

ROUTES = (
    Route(
        "POST", "/v1/responses", create_response, "Answer, and remember the answer",
        ResponseRequest, Response, {"text/event-stream": StreamEvent},
    ),
    Route(
        "POST", "/v1/responses/input_tokens", count_input_tokens, "Count the tokens of its prompt", ResponseRequest,
        InputTokens,
    ),
    Route("GET", _RESPONSE, stored.get_response, "An answer that was remembered", answer=Response),
    Route("DELETE", _RESPONSE, stored.delete_response, "Forget it", answer=ResponseDeleted),
    Route("GET", _RESPONSE + "/input_items", stored.list_input_items, "What was asked", answer=ItemList),
    Route("POST", _RESPONSE + "/cancel", stored.cancel_response, "Refused: nothing runs in the background"),
    Route(
        "POST", "/v1/conversations", conversations.create_conversation, "Begin a conversation",
        NewConversation, ConversationObject,
    ),
    Route(
        "GET", "/v1/conversations", conversations.list_conversations, "The account's conversations; q searches them",
        answer=ConversationList,
    ),
    Route(
        "GET", "/v1/conversations/export", conversations.export_conversations, "All conversations of the account",
        streams=_EXPORT,
    ),
    Route("GET", _CONVERSATION, conversations.get_conversation, "One conversation", answer=ConversationObject),
    Route(
        "POST", _CONVERSATION, conversations.change_conversation, "Give it another title or metadata",
        ChangedConversation, ConversationObject,
    ),
    Route(
        "DELETE", _CONVERSATION, conversations.delete_conversation, "Delete it and all in it",
        answer=ConversationDeleted,
    ),
    Route(
        "GET", _CONVERSATION + "/export", conversations.export_conversation, "All of a conversation", streams=_EXPORT
    ),
    Route(
        "GET", _CONVERSATION + "/items", conversation_items.list_conversation_items, "What was said", answer=ItemList
    ),
    Route(
        "POST", _CONVERSATION + "/items", conversation_items.create_conversation_items, "Add to what was said",
        NewItems, ItemList,
    ),
    Route("GET", _ITEM, conversation_items.get_conversation_item, "One thing that was said", answer=Item),
    Route(
        "DELETE", _ITEM, conversation_items.delete_conversation_item, "Delete one thing that was said",
        answer=ConversationObject,
    ),
)  # fmt: skip

"""`store: true`: the turns of a chat go into the conversation that `X-Conversation-Id` names, or into a new one.

What the client said is on disk before the model begins, what the model said before the answer ends. A memory that
cannot store stops no chat: the answer then says `X-Stored: false`.

Where `memory.trust_chat_ids` is set, Open WebUI's own name of a chat does the same without `store`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import msgspec
from aiohttp import web
from msgspec import structs

from mongarsd.api.credentials import account
from mongarsd.api.openai.answer import Collected, finish_word
from mongarsd.api.openai.jobs import sent
from mongarsd.api.openai.logprobs import as_json_knows_it
from mongarsd.api.openai.requests import ChatRequest
from mongarsd.api.openai.usage import timings
from mongarsd.api.parts import PARTS, Parts
from mongarsd.ground.errors import BadRequest, Busy, NotFound, StorageUnavailable
from mongarsd.ground.job import Finished, Message
from mongarsd.memory.accounts import account_id
from mongarsd.memory.conversations.types import Details, NewTurn, Role, new_id

log = logging.getLogger(__name__)

CONVERSATION = "X-Conversation-Id"
STORED = "X-Stored"
#: Open WebUI's, with ENABLE_FORWARD_USER_INFO_HEADERS.
CHAT = "X-OpenWebUI-Chat-Id"
#: How the id of a chat's answer begins; where the answer is stored, the rest is its turn's.
COMPLETION = "chatcmpl-"
#: A chat that is not to be kept is called so there, and a question of the program's own (a title, tags) begins so.
TEMPORARY, TASK = "local", "### Task:"
#: Letters of the first question that name a conversation.
TITLE = 80
MAX_METADATA = 16  # as OpenAI's
MAX_VALUE = 512
MAX_CHAT = 128  # letters of a chat's name; Open WebUI's have 36
_ROLES: dict[str, Role] = {"system": "system", "developer": "developer", "user": "user", "assistant": "assistant"}


class Kept:
    """One request's. `headers` belong to its answer, which is called `id`."""

    def __init__(self, parts: Parts, account: str, model: str) -> None:
        self._parts, self._account, self._model = parts, account, model
        self._answer = new_id("msg")
        self.id = COMPLETION + self._answer.removeprefix("msg_")
        self.created = int(parts.clock.wall())
        self._conversation = ""
        self._question: list[str] = []  # ids of turns
        self._metadata: Mapping[str, str] = {}
        self.headers: dict[str, str] = {}

    async def asked(
        self, conversation: str, chat: str, messages: Sequence[Message], metadata: Mapping[str, str]
    ) -> None:
        """`chat`: the client's own name. Raises NotFound for a conversation that is not this account's."""
        store = self._parts.memory.conversations
        title = next((message.content for message in messages if message.role == "user"), "")[:TITLE]
        goes_on = bool(conversation)
        try:
            if chat and not conversation:
                found, made = await store.of_chat(self._account, chat, title=title)
                conversation, goes_on = found.id, not made
            turns = [_turn(message) for message in (_since_the_last_answer(messages) if goes_on else messages)]
            if conversation:
                await store.append(self._account, conversation, turns)
            else:
                conversation = (await store.create(self._account, turns, title=title, metadata=metadata)).id
        except (StorageUnavailable, Busy) as error:
            self._failed(error)
            return
        self._conversation, self._question, self._metadata = conversation, [turn.id for turn in turns], metadata
        self.headers |= {CONVERSATION: conversation, STORED: "true"}

    async def answered(self, collected: Collected, end: Finished) -> None:
        """On disk when this returns, or `headers` say that it is not."""
        if not self._conversation:
            return
        turn = structs.replace(answer_turn(self._parts.hostname, self._model, collected, end), id=self._answer)
        try:
            await self._parts.memory.completions.save(
                self._account,
                self.id,
                self._conversation,
                self._question,
                turn,
                created=self.created,
                metadata=self._metadata,
            )
        except (StorageUnavailable, Busy, NotFound) as error:  # NotFound: deleted since the question was stored
            self._failed(error)

    def _failed(self, error: StorageUnavailable | Busy | NotFound) -> None:
        log.warning("a turn was not stored: %s", error.message)
        self.headers[STORED] = "false"


def answer_of(name: str) -> str:
    """The id of the turn that the stored answer `name` is, "chatcmpl-…". For others there is none of that id."""
    return "msg_" + name.removeprefix(COMPLETION)


async def keep(request: web.Request, body: ChatRequest, model: str) -> Kept | None:
    """None unless the request wants to be stored. What a preset adds is not. Raises NotFound, BadRequest."""
    parts = request.app[PARTS]
    chat = _chat(request) if body.store is None and parts.settings.memory.trust_chat_ids else ""
    if not (body.store or chat):
        return None
    messages = sent(body)
    if chat and messages[-1].content.startswith(TASK):
        return None
    kept = Kept(parts, account_id(account(request)), model)
    await kept.asked(request.headers.get(CONVERSATION, ""), chat, messages, _metadata(body))
    return kept


def _chat(request: web.Request) -> str:
    """The chat's name, "" = none that is to be kept."""
    chat = request.headers.get(CHAT, "")
    return chat if 0 < len(chat) <= MAX_CHAT and not chat.startswith(TEMPORARY) else ""


def answer_turn(node: str, model: str, collected: Collected, end: Finished) -> NewTurn:
    details = Details(
        finish_reason=finish_word(end, bool(collected.calls)),
        prompt_tokens=end.usage.prompt,
        cached_tokens=end.usage.cached,
        completion_tokens=end.usage.completion,
        timings=_numbers(end),
        reasoning=collected.reasoning,
        tool_calls=tuple(
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in collected.calls
        ),
        logprobs=tuple(map(as_json_knows_it, collected.logprobs)),
    )
    return NewTurn(role="assistant", content=collected.text, node=node, model=model, details=details)


def _since_the_last_answer(messages: Sequence[Message]) -> Sequence[Message]:
    """Clients send the whole conversation again; what stands before is stored already."""
    last = max((i for i, message in enumerate(messages) if message.role == "assistant"), default=-1)
    return messages[last + 1 :]


def _turn(message: Message) -> NewTurn:
    details = Details(
        name=message.name or "",
        reasoning=message.reasoning or "",
        tool_calls=message.tool_calls,
        tool_call_id=message.tool_call_id or "",
    )
    return NewTurn(id=new_id("msg"), role=_ROLES.get(message.role, "tool"), content=message.content, details=details)


def _metadata(body: ChatRequest) -> dict[str, str]:
    """Raises BadRequest."""
    found = body.metadata or {}
    if len(found) > MAX_METADATA:
        raise BadRequest(f"metadata: at most {MAX_METADATA} pairs", param="metadata")
    for name, value in found.items():
        if not isinstance(value, str) or max(len(name), len(value)) > MAX_VALUE:
            raise BadRequest(f"metadata: texts of at most {MAX_VALUE} letters", param="metadata")
    return found


def _numbers(end: Finished) -> dict[str, float]:
    """The milliseconds of what the client is told."""
    told: dict[str, float] = msgspec.to_builtins(timings(end))
    return {name: value for name, value in told.items() if name.endswith("_ms")}

from __future__ import annotations

import pytest
from fakes.served import Served
from msgspec import structs

from mongarsd.ground.settings import MemorySettings
from mongarsd.memory.room import Memory


async def ask(
    served: Served, text: str, *, status: int = 200, conversation: str = "", **more: object
) -> tuple[dict[str, str], str]:
    body = {"model": "tiny", "messages": [{"role": "user", "content": text}], "store": True, **more}
    headers = {"X-Conversation-Id": conversation} if conversation else {}
    async with served.client.post(served.url + "/v1/chat/completions", json=body, headers=headers) as response:
        assert response.status == status, await response.text()
        return dict(response.headers), await response.text()


@pytest.mark.parametrize("stream", [False, True])
async def test_question_and_answer_are_on_disk_when_the_answer_ends(
    keeping: Served, memory: Memory, stream: bool
) -> None:
    headers, _ = await ask(keeping, "What is a Pi?", stream=stream, metadata={"room": "kitchen"})
    assert headers["X-Stored"] == "true"
    name = headers["X-Conversation-Id"]
    question, answer = (await memory.conversations.turns("local", name)).items
    assert (question.role, question.content) == ("user", "What is a Pi?")
    assert (answer.role, answer.model, answer.node) == ("assistant", "tiny", "board")
    assert answer.content
    assert answer.details.completion_tokens > 0
    assert answer.details.finish_reason == "stop"
    found = await memory.conversations.get("local", name)
    assert (found.title, found.metadata) == ("What is a Pi?", {"room": "kitchen"})


async def test_a_conversation_goes_on_without_repeating_what_is_stored(keeping: Served, memory: Memory) -> None:
    headers, _ = await ask(keeping, "one")
    name = headers["X-Conversation-Id"]
    history = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "two"},
    ]
    await ask(keeping, "", conversation=name, messages=history)
    turns = (await memory.conversations.turns("local", name)).items
    assert [turn.content for turn in turns if turn.role == "user"] == ["one", "two"]
    assert [turn.role for turn in turns] == ["user", "assistant"] * 2


async def test_an_unknown_conversation_is_refused_before_the_model_runs(keeping: Served) -> None:
    await ask(keeping, "x", conversation="conv_0", status=404)
    assert not keeping.executor.jobs


async def test_without_store_nothing_is_stored(keeping: Served, memory: Memory) -> None:
    headers, _ = await ask(keeping, "x", store=False)
    assert "X-Stored" not in headers
    assert not (await memory.conversations.list("local")).items


@pytest.mark.parametrize("stream", [False, True])
async def test_a_memory_that_cannot_store_stops_no_chat(served: Served, stream: bool) -> None:
    headers, text = await ask(served, "x", stream=stream)
    assert headers["X-Stored"] == "false"
    assert "X-Conversation-Id" not in headers
    assert "stop" in text


async def test_a_conversation_that_is_deleted_under_its_answer_stops_no_chat(keeping: Served, memory: Memory) -> None:
    keeping.executor.hold = "decode"
    body = {"messages": [{"role": "user", "content": "x"}], "store": True, "stream": True}
    async with keeping.client.post(keeping.url + "/v1/chat/completions", json=body) as response:
        await response.content.readline()
        await memory.conversations.delete("local", response.headers["X-Conversation-Id"])
        keeping.executor.release()
        text = await response.text()
    assert text.endswith("data: [DONE]\n\n")
    assert '"error"' not in text
    assert not (await memory.conversations.list("local")).items


@pytest.mark.parametrize("metadata", [{"a": 1}, {"a": "x" * 513}, {str(n): "" for n in range(17)}])
async def test_metadata_beyond_its_limits_is_refused(keeping: Served, metadata: dict[str, object]) -> None:
    await ask(keeping, "x", metadata=metadata, status=400)


def trust(served: Served) -> None:
    settings = served.parts.settings
    served.parts.settings = structs.replace(settings, memory=MemorySettings(trust_chat_ids=True))


async def from_open_webui(served: Served, chat: str, *texts: str, **more: object) -> None:
    roles = ("user", "assistant") * len(texts)
    body = {"messages": [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)], **more}
    headers = {"X-OpenWebUI-Chat-Id": chat}
    await served.json("POST", "/v1/chat/completions", json=body, headers=headers)


async def test_a_trusted_chat_is_kept_under_its_own_name(keeping: Served, memory: Memory) -> None:
    trust(keeping)
    await from_open_webui(keeping, "chat-1", "one")
    await from_open_webui(keeping, "chat-1", "one", "1", "two")
    await from_open_webui(keeping, "chat-2", "three")
    other, chat = (await memory.conversations.list("local")).items
    turns = (await memory.conversations.turns("local", chat.id)).items
    assert [turn.content for turn in turns if turn.role == "user"] == ["one", "two"]
    assert (chat.title, chat.turns, other.turns) == ("one", 4, 2)


@pytest.mark.parametrize(
    ("chat", "text", "more"),
    [
        ("local:1", "x", {}),
        ("x" * 129, "x", {}),
        ("chat-1", "### Task:\nName it", {}),
        ("chat-1", "x", {"store": False}),
    ],
)
async def test_what_is_not_to_be_kept_is_not(
    keeping: Served, memory: Memory, chat: str, text: str, more: dict[str, object]
) -> None:
    trust(keeping)
    await from_open_webui(keeping, chat, text, **more)
    assert not (await memory.conversations.list("local")).items


async def test_nobody_trusts_a_chats_name_unasked(keeping: Served, memory: Memory) -> None:
    await from_open_webui(keeping, "chat-1", "one")
    assert not (await memory.conversations.list("local")).items

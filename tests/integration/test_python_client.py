"""mongarsd.client, sync and async, against the real model."""

from __future__ import annotations

import pytest
from fakes.clients import KINDS, Face
from fakes.cutting_proxy import CuttingProxy
from fakes.daemon_process import MODEL, DaemonProcess

from mongarsd.client import errors


@pytest.fixture(params=KINDS)
def face(daemon: DaemonProcess, request: pytest.FixtureRequest) -> Face:
    return Face(request.param, socket=daemon.control)


def test_a_stream_says_the_same_as_the_plain_answer(face: Face) -> None:
    whole = face.chat("Name three colours.", temperature=0, max_tokens=20, cache_prompt=False)
    chunks = list(face.stream("Name three colours.", temperature=0, max_tokens=20, cache_prompt=False))
    assert "".join(chunk.text for chunk in chunks) == whole.text
    assert len(whole.text) > 5
    assert chunks[-1].usage == whole.usage


def test_a_conversation_is_gone_on_with(face: Face) -> None:
    talk = face.create_conversation(title="Colours").id
    first = face.respond("The sky is blue.", conversation=talk, max_output_tokens=12)
    *_, last = face.respond_stream("What is the sky?", conversation=talk, max_output_tokens=12)
    assert last.response.usage.input_tokens > first.usage.input_tokens + 12
    assert [item.role for item in face.items(talk)] == ["user", "assistant"] * 2
    assert face.feedback(last.response.id, "up").conversation == talk
    face.delete_conversation(talk)


def test_errors(face: Face) -> None:
    with pytest.raises(errors.ModelNotFound):
        face.chat("Hi", model="none")
    with pytest.raises(errors.ContextOverflow) as caught:
        face.chat("word " * 3000)
    assert caught.value.detail["prompt"] > caught.value.detail["limit"]


def test_models(face: Face) -> None:
    assert MODEL in face.models().names
    assert face.show(MODEL).state == "ready"


def test_a_session_says_the_same_over_connections_that_break(face: Face, daemon: DaemonProcess) -> None:
    options = {"temperature": 0, "max_output_tokens": 40, "store": False, "cache_prompt": False}
    asked = [f"Tell me of the number {number}." for number in range(3)]
    wanted = [face.respond(question, **options).text for question in asked]
    with (
        CuttingProxy(daemon.ports[0], seed=3, most=4000) as proxy,
        Face(face.kind, proxy.url, sleep=lambda _: None).session() as session,
    ):
        answers = [list(session.respond(question, **options)) for question in asked]
    assert ["".join(event.text for event in events) for events in answers] == wanted
    assert proxy.cuts >= 2


def test_an_answer_of_a_session_is_cancelled_and_kept(face: Face) -> None:
    talk = face.create_conversation(title="Sea").id
    with face.session() as session:
        answer = session.respond("Tell me all of the sea.", conversation=talk, max_output_tokens=400, ignore_eos=True)
        heard = ""
        for event in answer:
            heard += event.text
            if len(heard) > 20:
                answer.cancel()
        assert event.response.status == "cancelled"
        question, said = session.replay(talk)
    assert question.text == "Tell me all of the sea."
    assert said.text == heard
    face.delete_conversation(talk)

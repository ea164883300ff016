"""Every call of both clients, asked of the daemon as a process; its backend is a fake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.clients import KINDS, Face, Kind
from fakes.cutting_proxy import CuttingProxy
from fakes.daemon_process import MODEL, DaemonProcess, running
from fakes.tiny_reader import WIDTH, write_bert

from mongarsd.client import Client, errors
from mongarsd.client.session.inbox import Gap, Lost


@pytest.fixture(scope="module")
def node() -> Iterator[DaemonProcess]:
    with running(state="state?step=0.002&rest=x") as daemon:
        yield daemon


@pytest.fixture(params=KINDS)
def face(node: DaemonProcess, request: pytest.FixtureRequest) -> Face:
    return Face(request.param, socket=node.control)


def url(node: DaemonProcess) -> str:
    host, port = node.ports[0]
    return f"http://{host}:{port}"


def test_chats(face: Face) -> None:
    answer = face.chat("Hi", max_tokens=5, seed=1)
    assert answer.usage.completion_tokens == 5
    assert answer.choices[0].finish_reason == "length"
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    chunks = list(face.stream(messages, max_tokens=5, seed=1, model=MODEL))
    assert chunks[-1].usage.completion_tokens == 5
    assert "".join(chunk.text for chunk in chunks)
    assert face.models().names == [MODEL]
    with pytest.raises(errors.ModelNotFound):
        face.chat("Hi", model="none")
    with pytest.raises(errors.BadRequest) as caught:
        face.chat("Hi", temperature=-1)
    assert caught.value.param == "temperature"


def test_responses_and_conversations(face: Face) -> None:
    begun = face.create_conversation([{"role": "user", "content": "It is windy"}], title="Weather", metadata={"a": "b"})
    assert (begun.title, begun.metadata) == ("Weather", {"a": "b"})
    answer = face.respond("And tomorrow?", conversation=begun.id, max_output_tokens=6)
    assert answer.conversation.id == begun.id
    assert answer.text
    events = list(face.respond_stream("Why?", conversation=begun.id, max_output_tokens=6))
    assert events[0].type == "response.created"
    assert "".join(event.text for event in events) == events[-1].response.text
    items = list(face.items(begun.id, limit=2))
    assert [item.role for item in items] == ["user", "user", "assistant", "user", "assistant"]
    assert items[2].text == answer.text
    assert face.feedback(answer.id, "up").rating == "up"
    assert [one.id for one in face.conversations(q="windy") if one.id == begun.id] == [begun.id]
    assert begun.id in [one.id for one in face.conversations(limit=1)]
    assert face.conversation(begun.id).turns == 5
    assert b"tomorrow" in b"".join(face.export(begun.id, form="markdown"))
    assert b"tomorrow" in b"".join(face.export())
    assert face.response(answer.id).text == answer.text
    face.delete_response(answer.id)
    with pytest.raises(errors.NotFound):
        face.response(answer.id)
    face.delete_conversation(begun.id)
    with pytest.raises(errors.NotFound):
        face.conversation(begun.id)
    alone = face.respond("A", max_output_tokens=3)
    more = face.respond("B", previous=alone.id, max_output_tokens=3)
    assert (more.previous_response_id, more.conversation_id) == (alone.id, alone.conversation_id)
    assert face.conversation(alone.conversation_id).turns == 4


def test_what_the_model_cannot_do_is_refused(face: Face) -> None:
    with pytest.raises(errors.MongarsError):
        face.embed("a text", model=MODEL)
    with pytest.raises(errors.BadRequest):
        face.rerank("q", ["a", "b"], model=MODEL)


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    folder = tmp_path_factory.mktemp("readers")
    with running() as daemon:
        client = Client(socket=daemon.control)
        for path in (write_bert(folder / "embedder.gguf"), write_bert(folder / "ranker.gguf", pooling=None, head=True)):
            assert list(client.pull(f"file:{path}"))[-1].status == "success"
        yield daemon


@pytest.mark.parametrize("kind", KINDS)
def test_texts_become_vectors_and_documents_are_ranked(kind: Kind, readers: DaemonProcess) -> None:
    face = Face(kind, url(readers))
    found = face.embed(["red", "green blue", "red"], model="embedder")
    assert [len(vector) for vector in found.vectors] == [WIDTH] * 3
    assert found.vectors[0] == pytest.approx(found.vectors[2], abs=1e-5) != found.vectors[1]
    assert found.usage.total_tokens > 0
    ranking = face.rerank("red", ["green blue", "red", "one"], model="ranker", top_n=2)
    first, second = ranking.results
    assert first.relevance_score >= second.relevance_score


def test_memories(face: Face) -> None:
    told = face.remember("The cat is called Mia")
    assert face.memory(told.id).text == "The cat is called Mia"
    assert told.id in [one.id for one in face.memories(limit=1)]
    assert face.search_memory("cat").data[0].memory.id == told.id
    face.forget(told.id)
    with pytest.raises(errors.NotFound):
        face.memory(told.id)


def test_documents(face: Face, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The lighthouse was built in 1904.")
    file = face.upload(tmp_path / "a.txt")
    assert file.filename == "a.txt"
    store = face.create_store("notes")
    stored = face.store_file(store.id, file.id, attributes={"path": "a"})
    assert stored.attributes == {"path": "a"}
    assert store.id in [one.id for one in face.stores(limit=1)]
    assert face.store(store.id).file_counts.total == 1
    assert [one.id for one in face.stored_files(store.id)] == [file.id]
    face.delete_file(file.id)
    assert list(face.stored_files(store.id)) == []


def test_the_node(face: Face, node: DaemonProcess) -> None:
    face.alive()
    assert face.ready().checks
    assert face.status().pid == node.process.pid
    assert "server" in face.config()
    assert face.cache().tiers is not None
    assert face.clear_cache().tiers is not None
    assert [model.name for model in face.installed()] == [MODEL]
    assert any(model.name == MODEL for model in face.catalogue())
    assert face.load(MODEL).state == "ready"
    assert face.show(MODEL).state == "ready"
    face.unload(MODEL)
    assert face.show(MODEL).state == "on_disk"
    with pytest.raises(errors.ModelNotFound):
        face.remove("none")
    steps = list(face.pull(f"file:{node.state}/tiny.gguf", name="other"))
    assert steps[-1].status == "success"
    face.remove("other")
    with pytest.raises(errors.MongarsError):
        list(face.pull("hf:nobody/nothing/x.gguf"))


def test_the_database(face: Face) -> None:
    made = face.backup()
    assert made.name in [one.name for one in face.memory_status().backups]
    assert face.check().result == "ok"
    assert face.restore(made.name).name == made.name
    assert b"".join(face.export_account("local")) is not None


def test_who_may_use_it(face: Face, node: DaemonProcess) -> None:
    made = face.create_key("laptop", scopes=["chat"], lasts=1000.0)
    assert made.text not in repr(made)
    try:
        (key,) = face.keys()
        assert key.id == made.key.id
        over_tcp = Face("sync", url(node), key=made.text)
        assert over_tcp.models().names == [MODEL]
        with pytest.raises(errors.Forbidden):
            over_tcp.status()
        with pytest.raises(errors.Unauthorized, match="MONGARSD_API_KEY"):
            Face("sync", url(node)).models()
        with pytest.raises(errors.Unauthorized):
            Face("sync", url(node), key="mg-wrong").models()
    finally:
        face.revoke_key("laptop")
    face.add_user("ana", "correct horse battery")
    assert [user.name for user in face.users()] == ["ana"]
    face.set_password("ana", "another horse battery")
    face.rotate_tokens()
    face.remove_user("ana")
    assert face.change_account("laptop", jobs=2).settings.jobs == 2
    assert face.change_account("laptop", jobs=None).settings.jobs is None
    assert "laptop" in [one.id for one in face.accounts()]
    assert any("keys" in one.what for one in face.audit(limit=20))


def test_a_session(face: Face) -> None:
    conversation = face.create_conversation(title="Session").id
    with face.session() as session:
        events = list(session.respond("Hi", conversation=conversation, max_output_tokens=5))
        assert "".join(event.text for event in events) == events[-1].response.text
        assert len(list(session.replay(conversation))) == 2
        (later,) = session.replay(conversation, after=next(iter(session.replay(conversation))).id)
        assert later.text == events[-1].response.text
        with session.node() as statuses:
            assert next(statuses).version
        answer = session.respond("Go on", max_output_tokens=3900, ignore_eos=True)
        heard = [next(answer) for _ in range(8)]
        answer.cancel()
        *_, last = answer
        assert (last.type, last.response.status) == ("response.cancelled", "cancelled")
        assert last.sequence_number < 3800
        assert heard[0].type == "response.created"
        with pytest.raises(errors.ModelNotFound):
            list(session.respond("Hi", model="none"))
        with pytest.raises(errors.NotFound):
            list(session.replay("conv_" + "0" * 48))


def test_leaving_an_answer_frees_its_slot(face: Face) -> None:
    with face.session() as session:
        for _ in range(12):  # more than may run at the same time
            with session.respond("Go on", max_output_tokens=3000, ignore_eos=True) as events:
                next(events)
        assert list(session.respond("Hi", max_output_tokens=3, ignore_eos=True))[-1].response.usage.output_tokens == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [1, 2])
def test_answers_survive_their_connections(kind: Kind, seed: int, node: DaemonProcess) -> None:
    """Cut at random, answers come whole, once, and in their order."""
    naps: list[float] = []
    with CuttingProxy(node.ports[0], seed) as proxy, Face(kind, proxy.url, sleep=naps.append).session() as session:
        for number in range(8):
            events = list(session.respond(f"Question {number}", max_output_tokens=60, seed=number, ignore_eos=True))
            assert not [event for event in events if isinstance(event, Gap)]
            assert [event.sequence_number for event in events] == list(range(len(events)))
            whole = events[-1].response
            assert whole.usage.output_tokens == 60
            assert "".join(event.text for event in events) == whole.text
        assert proxy.cuts >= 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_that_is_started_anew(kind: Kind) -> None:
    with running() as first, Face(kind, socket=first.control, retries=0).session(patience=1000.0) as session:
        statuses = session.node()
        assert next(statuses).pid == first.process.pid
        answer = session.respond("Go on", max_output_tokens=3000, ignore_eos=True)
        next(answer)
        first.process.kill()
        first.process.wait()
        assert any(isinstance(one, Lost) for one in statuses)
        second = DaemonProcess(first.folder)
        try:
            assert next(one for one in statuses if not isinstance(one, Lost)).pid == second.process.pid
            rest: list[object] = []
            with pytest.raises(errors.BrokenOff):
                rest.extend(_kept(answer, rest))
            assert rest[-1] == Gap(0, None)
        finally:
            second.close()


def _kept(events: Iterator[object], found: list[object]) -> Iterator[object]:
    """Also when the iterator raises: `extend` alone would forget them."""
    for event in events:
        found.append(event)
        yield from ()


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_gives_up_in_the_end(kind: Kind, tmp_path: Path) -> None:
    with pytest.raises(errors.Unreachable), Face(kind, socket=tmp_path / "none").session():
        pass
    naps: list[float] = []
    with running() as daemon, Face(kind, socket=daemon.control, sleep=naps.append).session(patience=0.0) as session:
        daemon.process.kill()
        daemon.process.wait()
        for _ in range(2):  # and it stays so
            with pytest.raises(errors.Unreachable):
                list(session.respond("Hi"))
    assert naps == []

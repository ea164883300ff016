"""What there is and what is loaded, and changing it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Literal

import ollama
import pytest
from fakes.executor import FakeExecutor
from fakes.models import TINY
from fakes.served import Served, serve
from msgspec import structs

from mongarsd.api.app import make_admin_app
from mongarsd.api.credentials import match
from mongarsd.ground.clock import FakeClock
from mongarsd.ground.errors import SourceUnavailable
from mongarsd.ground.job import Embedded, Event, Finished, FinishReason, Job, Started, Usage
from mongarsd.ground.preset import Preset
from mongarsd.ground.settings import ModelSettings


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


async def test_programs_are_greeted_as_ollama_greets_them(served: Served) -> None:
    async with served.client.get(served.url + "/") as response:
        assert (response.status, await response.text()) == (200, "Ollama is running")
    async with served.client.head(served.url + "/") as response:
        assert response.status == 200


async def test_the_version_is_dotted_integers(served: Served) -> None:
    answer = await served.json("GET", "/api/version")
    assert re.fullmatch(r"\d+\.\d+\.\d+", answer["version"])
    assert answer["mongarsd"] == served.parts.version


async def test_the_list(served: Served) -> None:
    (model,) = (await served.json("GET", "/api/tags"))["models"]
    assert model["name"] == model["model"] == "tiny:latest"
    assert model["digest"] == "1" * 64
    assert model["size"] == 1000
    assert datetime.fromisoformat(model["modified_at"]).timestamp() == 1_700_000_000.5
    details = {"format": "gguf", "family": "llama", "families": ["llama"], "parameter_size": "134.52M"}
    assert model["details"] == {**details, "parent_model": "", "quantization_level": ""}


async def test_a_damaged_entry_is_not_listed(served: Served) -> None:
    served.models.models["broken"] = structs.replace(TINY, name="broken", digest="", state="failed")
    assert [m["name"] for m in (await served.json("GET", "/api/tags"))["models"]] == ["tiny:latest"]


async def test_what_is_loaded(served: Served) -> None:
    served.parts.clock = FakeClock()
    assert (await served.json("GET", "/api/ps"))["models"] == []
    loaded = structs.replace(TINY, state="ready", memory=5000, context=4096, expires_in=60.0, keep_alive=300.0)
    served.models.models["tiny"] = loaded
    served.models.models["mario"] = structs.replace(loaded, name="mario", preset=Preset(model=TINY.digest))
    (model,) = (await served.json("GET", "/api/ps"))["models"]
    assert (model["name"], model["size"], model["size_vram"], model["context_length"]) == ("tiny:latest", 5000, 0, 4096)
    left = datetime.fromisoformat(model["expires_at"]).timestamp() - served.parts.clock.wall()
    assert left == 60
    served.models.models["tiny"] = structs.replace(loaded, expires_in=None, keep_alive=-1.0)
    (model,) = (await served.json("GET", "/api/ps"))["models"]
    assert datetime.fromisoformat(model["expires_at"]).year > 2200


async def test_what_is_loaded_goes_by_the_names_it_was_used_by(served: Served) -> None:
    for new in ("mario", "luigi"):
        await served.json("POST", "/api/create", json={**MARIO, "model": new, "stream": False})

    def load(times: int, state: Literal["on_disk", "ready"] = "ready") -> None:
        known = served.models.models
        known.update({name: structs.replace(model, state=state, loads=times) for name, model in known.items()})

    async def listed() -> dict[str, str]:
        models = (await served.json("GET", "/api/ps"))["models"]
        return {model["name"]: model["details"]["parent_model"] for model in models}

    async def chat(name: str) -> None:
        body = {"model": name, "messages": [{"role": "user", "content": "Hi"}], "stream": False}
        await served.json("POST", "/api/chat", json=body)

    await chat("mario")
    load(1)
    assert await listed() == {"mario:latest": "tiny:latest"}
    await served.chat(model="luigi")
    assert await listed() == {"mario:latest": "tiny:latest", "luigi:latest": "tiny:latest"}
    await chat("tiny:latest")
    assert set(await listed()) == {"tiny:latest", "mario:latest", "luigi:latest"}
    load(1, "on_disk")
    assert await listed() == {}
    await chat("luigi")
    load(2)
    assert set(await listed()) == {"luigi:latest"}
    del served.models.models["luigi"]
    assert set(await listed()) == {"tiny:latest"}, "what has gone has no name any more"


async def test_show(served: Served) -> None:
    for body in ({"model": "tiny"}, {"name": "tiny:latest", "verbose": True}):
        answer = await served.json("POST", "/api/show", json=body)
        info = {"general.architecture": "llama", "general.basename": "tiny", "llama.context_length": 2048}
        assert answer["model_info"] == info
        assert answer["capabilities"] == ["completion", "tools"]
        assert answer["template"]
        assert answer["details"]["parent_model"] == ""
        assert answer["modelfile"] == "FROM tiny\n"
    await served.json("POST", "/api/show", 400, json={})


async def test_a_pull_tells_how_far_it_is(served: Served) -> None:
    async with served.client.post(served.url + "/api/pull", json={"model": "tiny"}) as response:
        assert response.headers["Content-Type"] == "application/x-ndjson"
        steps = lines(await response.text())
    assert steps[0] == {"status": "pulling manifest"}
    assert steps[1] == {"status": "pulling", "total": 2, "completed": 1}
    assert steps[-1] == {"status": "success"}
    plain = await served.json("POST", "/api/pull", json={"name": "tiny:latest", "stream": False})
    assert plain == {"status": "success"}
    assert served.models.calls == [("pull", "tiny", "")] * 2


async def test_a_file_is_not_installed_from_afar(served: Served) -> None:
    await served.json("POST", "/api/pull", 403, json={"model": "file:/etc/passwd"})
    assert served.models.calls == []


async def test_what_is_installed_and_not_of_the_catalogue_is_not_fetched(served: Served) -> None:
    served.models.models["own"] = structs.replace(TINY, name="own")
    answer = await served.json("POST", "/api/pull", json={"model": "own", "stream": False})
    assert answer == {"status": "success"}
    assert served.models.calls == []


async def test_what_is_installed_is_there_without_a_network_too(served: Served) -> None:
    served.parts.settings = structs.replace(served.parts.settings, models=ModelSettings(offline=True))
    answer = await served.json("POST", "/api/pull", json={"model": "tiny", "stream": False})
    assert answer == {"status": "success"}
    assert served.models.calls == []


async def test_a_pull_that_fails(served: Served) -> None:
    served.models.fail = SourceUnavailable("The hub did not answer.")
    async with served.client.post(served.url + "/api/pull", json={"model": "tiny"}) as response:
        assert lines(await response.text())[-1]["error"] == "The hub did not answer."
    answer = await served.json("POST", "/api/pull", 502, json={"model": "tiny", "stream": False})
    assert answer["error"] == "The hub did not answer."


MARIO = {
    "model": "mario",
    "from": "tiny",
    "system": "You are Mario.",
    "parameters": {"temperature": 0.1, "stop": ["x"], "num_predict": 9, "num_gpu": 1},
    "messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Me!"}],
}


async def test_create_makes_a_preset_that_every_api_lists(served: Served) -> None:
    async with served.client.post(served.url + "/api/create", json=MARIO) as response:
        assert lines(await response.text())[-1] == {"status": "success"}
    preset = served.models.models["mario"].preset
    assert preset
    assert (preset.model, preset.system) == (TINY.digest, "You are Mario.")
    assert (preset.sampling, preset.stop, preset.max_tokens) == ({"temperature": 0.1}, ("x",), 9)
    assert [(m.role, m.content) for m in preset.messages] == [("user", "Who?"), ("assistant", "Me!")]
    assert {m["id"] for m in (await served.json("GET", "/v1/models"))["data"]} == {"tiny", "mario"}
    listed = {m["name"]: m for m in (await served.json("GET", "/api/tags"))["models"]}
    assert listed["mario:latest"]["digest"] != listed["tiny:latest"]["digest"]
    assert listed["mario:latest"]["details"]["parent_model"] == "tiny:latest"
    shown = await served.json("POST", "/api/show", json={"model": "mario"})
    assert shown["system"] == "You are Mario."
    assert shown["messages"] == MARIO["messages"]
    assert "temperature                    0.1" in shown["parameters"]
    assert 'SYSTEM """You are Mario."""' in shown["modelfile"]


async def test_a_preset_of_a_preset_has_what_it_does_not_change(served: Served) -> None:
    await served.json("POST", "/api/create", json={**MARIO, "stream": False})
    body = {"model": "luigi", "from": "mario", "system": "You are Luigi.", "stream": False}
    await served.json("POST", "/api/create", json=body)
    preset = served.models.models["luigi"].preset
    assert preset
    assert (preset.model, preset.parent, preset.system) == (TINY.digest, "tiny", "You are Luigi.")
    assert (preset.sampling, preset.stop, len(preset.messages)) == ({"temperature": 0.1}, ("x",), 2)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"from": None}, "from"),
        ({"files": {"a.gguf": "sha256:0"}}, "files"),
        ({"adapters": {"a.gguf": "sha256:0"}}, "adapters"),
        ({"quantize": "q4_0"}, "quantize"),
        ({"modelfile": "FROM tiny"}, "modelfile"),
        ({"template": "{{ .Prompt }}"}, "template"),
        ({"model": ""}, "model"),
        ({"parameters": {"temperature": "hot"}}, "parameters.temperature"),
    ],
)
async def test_what_cannot_be_created_is_refused(served: Served, change: dict[str, Any], word: str) -> None:
    assert word in (await served.json("POST", "/api/create", 400, json={**MARIO, **change}))["error"]


async def test_copy_and_delete(served: Served) -> None:
    async with served.client.post(served.url + "/api/copy", json={"source": "tiny", "destination": "second"}) as answer:
        assert answer.status == 200
    missing = await served.json("POST", "/api/copy", 404, json={"source": "nobody", "destination": "x"})
    assert missing["error"] == "model 'nobody' not found"
    async with served.client.delete(served.url + "/api/delete", json={"model": "second"}) as answer:
        assert answer.status == 200
    assert set(served.models.models) == {"tiny"}
    gone = await served.json("DELETE", "/api/delete", 404, json={"model": "second"})
    assert gone["error"] == "model 'second' not found"


async def test_nothing_is_published_or_uploaded(served: Served) -> None:
    assert "publishes" in (await served.json("POST", "/api/push", 400, json={"model": "tiny"}))["error"]
    blob = f"/api/blobs/sha256:{'0' * 64}"
    assert "mongarsctl" in (await served.json("POST", blob, 400, json={}))["error"]
    async with served.client.head(served.url + blob) as response:
        assert response.status == 404


async def test_an_address_that_does_not_exist(served: Served) -> None:
    assert isinstance((await served.json("GET", "/api/nothing", 404))["error"], str)


KEY = "k" * 43
HASH = "sha256:" + __import__("hashlib").sha256(KEY.encode()).hexdigest()
CHANGES = [
    ("POST", "/api/pull", {"model": "tiny"}),
    ("POST", "/api/create", MARIO),
    ("POST", "/api/copy", {"source": "tiny", "destination": "second"}),
    ("DELETE", "/api/delete", {"model": "tiny"}),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_a_plain_key_changes_no_models(method: str, path: str, body: dict[str, Any]) -> None:
    assert match(KEY, (HASH,))
    headers = {"Authorization": f"Bearer {KEY}"}
    async with serve(key_hashes=(HASH,)) as served:
        await served.json(method, path, 401, json=body)
        answer = await served.json(method, path, 403, json=body, headers=headers)
        assert isinstance(answer["error"], str)
        await served.json("GET", "/api/tags", headers=headers)
        await served.json("GET", "/api/tags", 401)
        assert served.models.calls == []
        assert set(served.models.models) == {"tiny"}


async def test_the_control_socket_may_change_them_whatever_keys_there_are() -> None:
    async with serve(make=make_admin_app, key_hashes=(HASH,)) as served:
        body = {"source": "tiny", "destination": "second"}
        async with served.client.post(served.url + "/api/copy", json=body) as response:
            assert response.status == 200


class Embeds(FakeExecutor):
    async def run(self, job: Job) -> AsyncIterator[Event]:
        self.jobs.append(job)
        yield Started(job=job.id, node="fake", queue=0.0, prompt=5)
        ones = b"\x00\x00\x80\x3f\x00\x00\x00\x00" * len(job.embed or ())
        yield Embedded(job=job.id, vectors=ones, dimensions=2)
        yield Finished(job=job.id, reason=FinishReason.STOP, usage=Usage(prompt=5, completion=0))


async def test_embeddings_in_both_forms() -> None:
    async with serve(Embeds()) as served:
        reader = structs.replace(TINY, name="reader", kind="embedding", capabilities=("embedding",), dimensions=2)
        served.models.models["reader"] = structs.replace(reader, digest="sha256:" + "2" * 64)
        async with ollama.AsyncClient(served.url) as client:
            assert (await client.embed("reader", ["a", "b"])).embeddings == [[1.0, 0.0], [1.0, 0.0]]
            one = await client.embed("reader", "a", keep_alive="5m", dimensions=2, truncate=True)
            assert (one.embeddings, one.prompt_eval_count) == ([[1.0, 0.0]], 5)
            assert (await client.embeddings("reader", "a")).embedding == [1.0, 0.0]
            assert (await client.embed("reader", [])).embeddings == []
            assert (await client.embeddings("reader", "")).embedding == []
            with pytest.raises(ollama.ResponseError, match="does not support embeddings"):
                await client.embed("tiny", "a")
            assert (await client.embed("reader", "a", dimensions=1)).embeddings == [[1.0]]
            assert (await client.embed("reader", "a", dimensions=3)).embeddings == [[1.0, 0.0]]
            assert not any(job.whole for job in served.executor.jobs)
            await client.embed("reader", "a", truncate=False)
            assert served.executor.jobs[-1].whole
            with pytest.raises(ollama.ResponseError, match=r"input\[1\]"):
                await client.embed("reader", ["a", ""])
            with pytest.raises(ollama.ResponseError, match="does not support chat"):
                await client.chat("reader", [{"role": "user", "content": "Hi"}])
            with pytest.raises(ollama.ResponseError, match="does not support generate"):
                await client.generate("reader", "Hi")
    assert ("keep_alive", "reader", "300") in served.models.calls

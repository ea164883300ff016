"""LoRA adapters through llama.cpp, over the engine: as if merged, alone as together, and never beyond their memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.generate import generate, job, tokens
from fakes.tiny_lora import write_lora, write_merged

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.errors import Busy, InvalidModel
from mongarsd.ground.job import Delta, Failed, Job, Started
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.engine.base import Row
from mongarsd.inference.engine.loop import Engine, prepare
from mongarsd.inference.engine.scheduler import Scheduler
from mongarsd.inference.llama.backend import LlamaBackend
from mongarsd.inference.worker.protocol import AdapterPlan

GREEDY = Sampling(temperature=0.0, ignore_eos=True)
Open = Callable[..., LlamaBackend]


class Shelf:
    """Adapters in a folder, named as the model store names them."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder, self.base = folder, base

    def add(self, seed: int) -> str:
        path = write_lora(self.folder / "draft", self.base, seed=seed)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        path.rename(self.folder / f"sha256-{digest}")
        return f"sha256:{digest}"

    def size(self, adapter: str) -> int:
        return (self.folder / adapter.replace(":", "-")).stat().st_size

    def plan(self, size: int = 1 << 20) -> AdapterPlan:
        return AdapterPlan(directory=str(self.folder), bytes=size)


@pytest.fixture
def shelf(tmp_path: Path, tiny_path: Path) -> Shelf:
    (tmp_path / "blobs").mkdir()
    return Shelf(tmp_path / "blobs", tiny_path)


class Run:
    """Jobs through an engine over a real backend."""

    def __init__(self, backend: LlamaBackend) -> None:
        slots, context = backend.info.slots, backend.info.context
        self.backend = backend
        scheduler = Scheduler(slots=slots, context=context, queue=16, max_gap=1.0, batch=64)
        self.engine = Engine(backend, scheduler, FakeClock(), "here")  # no step is ever too slow for a tile

    def __call__(self, *jobs: Job) -> dict[str, Any]:
        """What each job said, its error, and how many tokens it found cached."""
        said: dict[str, Any] = {each.id: [] for each in jobs}
        for each in jobs:
            prompt = prepare(self.backend, each)
            assert not isinstance(prompt, Failed), prompt
            self.engine.submit(each, prompt)
        for _ in range(500):
            for event in (*self.engine.admit(), *self.engine.step()):
                if isinstance(event, Delta):
                    said[event.job] += event.tokens
                elif isinstance(event, Failed):
                    said[event.job] = event.error
                elif isinstance(event, Started):
                    said[f"{event.job} cached"] = event.cached
            if not self.engine.busy:
                return said
        raise AssertionError("the engine does not come to an end")


def ask(name: str, adapter: str = "", text: str = "tell me", **more: Any) -> Job:
    return Job(id=name, model="sha256:" + "0" * 64, adapter=adapter, text=text, sampling=GREEDY, max_tokens=12, **more)


def test_an_adapter_says_what_its_merged_model_says(tmp_path: Path, shelf: Shelf, open_llama: Open) -> None:
    adapter = shelf.add(1)
    said = Run(open_llama(shelf.base, adapters=shelf.plan()))(ask("bare"), ask("adapted", adapter))
    merged = open_llama(write_merged(tmp_path / "merged.gguf", shelf.base, seed=1))
    assert said["adapted"] == tokens(generate(merged, job(text="tell me", sampling=GREEDY), 12))
    assert said["adapted"] != said["bare"]


def test_eight_mixed_streams_say_what_each_says_alone(shelf: Shelf, open_llama: Open) -> None:
    adapters = ["", shelf.add(1), shelf.add(2)]
    jobs = [ask(str(n), adapters[n % 3], f"stream {n}") for n in range(8)]
    backend = open_llama(shelf.base, slots=8, adapters=shelf.plan())
    alone = {each.id: Run(backend)(each)[each.id] for each in jobs}
    together = Run(backend)(*jobs)
    assert {each.id: together[each.id] for each in jobs} == alone


def test_a_prefix_is_found_again_under_the_same_adapter_only(shelf: Shelf, open_llama: Open) -> None:
    one, other = shelf.add(1), shelf.add(2)
    run = Run(open_llama(shelf.base, adapters=shelf.plan()))
    text = "a prompt of some length that all of them share, and that is worth keeping"
    first = run(ask("a", one, text))
    assert first["a cached"] == 0
    assert run(ask("b", other, text))["b cached"] == 0
    assert run(ask("c", "", text))["c cached"] == 0
    again = run(ask("d", one, text))
    assert again["d cached"] > 0
    assert again["d"] == first["a"]


def test_a_resumed_job_says_the_rest(shelf: Shelf, open_llama: Open) -> None:
    adapter = shelf.add(1)
    backend = open_llama(shelf.base, adapters=shelf.plan())
    whole = Run(backend)(ask("a", adapter))["a"]
    assert Run(backend)(ask("a", adapter, produced=tuple(whole[:5])))["a"] == whole[5:]


def test_the_least_recently_used_goes_when_the_memory_is_used_up(shelf: Shelf, open_llama: Open) -> None:
    one, two, three = (shelf.add(seed) for seed in (1, 2, 3))
    backend = open_llama(shelf.base, adapters=shelf.plan(2 * shelf.size(one)))
    run = Run(backend)
    before = run(ask("a", one))["a"]
    run(ask("b", two)), run(ask("c", one)), run(ask("d", three))
    assert list(backend._adapters._held) == [one, three]
    assert run(ask("e", two))["e"]
    assert run(ask("f", one))["f"] == before


def test_one_in_use_stays_and_the_other_is_told_to_come_again(shelf: Shelf, open_llama: Open) -> None:
    one, two = shelf.add(1), shelf.add(2)
    backend = open_llama(shelf.base, adapters=shelf.plan(shelf.size(one)))
    said = Run(backend)(ask("a", one), ask("b", two), ask("c"))
    assert (len(said["a"]), said["b"].code, len(said["c"])) == (12, Busy.code, 12)


@pytest.mark.parametrize("adapter", ["sha256:" + "f" * 64, "sha256:../../x", "/etc/passwd"])
def test_one_that_is_not_there_is_refused(shelf: Shelf, open_llama: Open, adapter: str) -> None:
    run = Run(open_llama(shelf.base, slots=1, adapters=shelf.plan()))
    assert run(ask("a", adapter))["a"].code == InvalidModel.code
    assert len(run(ask("b"))["b"]) == 12


def test_what_is_no_adapter_is_refused_with_the_reason(shelf: Shelf, open_llama: Open) -> None:
    backend = open_llama(shelf.base, slots=1, adapters=shelf.plan())
    (shelf.folder / f"sha256-{'a' * 64}").write_bytes(b"GGUF nonsense")
    with pytest.raises(InvalidModel, match="cannot use this adapter"):
        backend.adapt("sha256:" + "a" * 64, ())


def test_a_closed_backend_has_freed_what_it_used(shelf: Shelf, open_llama: Open) -> None:
    adapter = shelf.add(1)
    backend = open_llama(shelf.base, slots=1, adapters=shelf.plan())
    backend.adapt(adapter, ())
    backend.decode([Row(0, 0, [1], 1, adapter)])
    backend.close()
    assert not backend._adapters._held

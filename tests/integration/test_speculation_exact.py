"""The real model says the same with drafts and without, behind short and long prompts."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.job import Delta, Finished, Job, Message
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.engine.base import Row
from mongarsd.inference.engine.loop import Engine, prepare
from mongarsd.inference.engine.scheduler import Scheduler
from mongarsd.inference.engine.speculation import Speculation
from mongarsd.inference.llama.backend import LlamaBackend
from mongarsd.inference.worker.protocol import Load

CONTEXT = 2304
SENTENCES = (
    "The lighthouse at Cape Wren was built in 1871 by a crew of forty masons.",
    "Its lamp burned whale oil for eleven years, then paraffin, and was made electric in 1926.",
    "The keeper, Thomas Hale, wrote the weather into a green book every evening.",
    "In the winter of 1894 a ship named Aurora ran onto the rocks below; all nineteen sailors were saved.",
    "The village still keeps the rope in a glass case beside the church door.",
)


def text(sentences: int) -> str:
    return " ".join(f"{i}. {s}" for i, s in zip(range(1, sentences + 1), itertools.cycle(SENTENCES), strict=False))


def load(model: Path, slots: int, context: int) -> Load:
    """Two threads, among which llama.cpp would part the cells; not on one core, where each would wait for the other."""
    threads = min(2, len(os.sched_getaffinity(0)))
    return Load(
        model="sha256:" + "0" * 64,
        path=str(model),
        node="here",
        slots=slots,
        context=context,
        decode_threads=threads,
        prefill_threads=threads,
        queue=4,
        max_gap=1.0,
    )


@pytest.fixture(scope="module")
def backend(default_model: Path) -> Iterator[LlamaBackend]:
    opened = LlamaBackend(load(default_model, 2, CONTEXT))
    yield opened
    opened.close()


def free() -> Speculation:
    """Drafts seem to cost nothing, so there are many."""
    speculation = Speculation()
    speculation.observe = lambda streams, draft, seconds: None  # type: ignore[method-assign]
    speculation._plain = {1: 1.0, 2: 1.0}
    speculation._costs = dict.fromkeys(speculation._costs, 1.0)
    return speculation


def run(backend: LlamaBackend, job: Job, speculation: Speculation | None) -> tuple[list[int], Finished]:
    scheduler = Scheduler(slots=2, context=CONTEXT, queue=4, max_gap=1.0, batch=2048, speculation=speculation)
    engine = Engine(backend, scheduler, FakeClock(), "here")  # no load makes it cut the prompt below a tile
    prompt = prepare(backend, job)
    assert not hasattr(prompt, "error")
    engine.submit(job, prompt)  # type: ignore[arg-type]
    tokens: list[int] = []
    ended: Finished | None = None
    for _ in range(4000):
        if not engine.busy:
            break
        for event in (*engine.admit(), *engine.step()):
            if isinstance(event, Delta):
                tokens += event.tokens
            elif isinstance(event, Finished):
                ended = event
    assert ended
    return tokens, ended


@pytest.mark.parametrize(("sentences", "temperature"), [(3, 0.0), (3, 0.8), (25, 0.0), (25, 0.8), (62, 0.0)])
def test_the_same_words(backend: LlamaBackend, sentences: int, temperature: float) -> None:
    job = Job(
        id="a",
        model="m",
        messages=(Message(role="user", content=f"Repeat this text exactly, word for word:\n\n{text(sentences)}"),),
        max_tokens=60,
        sampling=Sampling(temperature=temperature, seed=5, ignore_eos=True),
        cache_prompt=False,
    )
    plain, _ = run(backend, job, None)
    drafted, ended = run(backend, job, free())
    assert (ended.timings.drafted > 0) == backend.info.drafts
    assert drafted == plain


def test_a_token_has_the_same_logits_wherever_the_others_lie(default_model: Path) -> None:
    """Behind 512 cells, alone and with two others, beside one of them and not."""
    with contextlib.closing(LlamaBackend(load(default_model, 4, 640))) as backend:
        context, length = backend._context, 520
        backend.decode([Row(3, 0, [1000 + 37 * i for i in range(length)], 0)])

        def logits(*beside: int) -> bytes:
            for sequence in beside:
                backend.trim(sequence, 0)
            backend.trim(3, length)
            backend.decode([*(Row(sequence, 0, [1000], 1) for sequence in beside), Row(3, length, [777], 1)])
            data = context._lib.llama_get_logits_ith(context.handle, context.output(len(beside)))
            return ctypes.string_at(data, 4 * backend.info.vocabulary)

        alone = logits()
        assert logits(0, 1) == alone, "a gap between them"
        assert logits(1, 2) == alone


@pytest.mark.parametrize("begin", [40, 300, 600])
def test_a_draft_gives_the_logits_of_single_steps(backend: LlamaBackend, begin: int) -> None:
    """Where the processor's kernels give others, that was seen when the model was loaded, and nothing is drafted."""
    context = backend._context
    tokens = [1000 + 37 * i % 20_000 for i in range(begin + 8)]

    def logits(output: int) -> bytes:
        data = context._lib.llama_get_logits_ith(context.handle, context.output(0, output))
        return ctypes.string_at(data, 4 * backend.info.vocabulary)

    backend.trim(0, 0)
    backend.decode([Row(0, 0, tokens[:begin], 0)])
    single = []
    for i in range(begin, begin + 8):
        backend.decode([Row(0, i, tokens[i : i + 1], 1)])
        single.append(logits(0))
    for count in (4, 8):
        backend.trim(0, begin)
        backend.decode([Row(0, begin, tokens[begin : begin + count], count)])
        assert [logits(i) for i in range(count)] == single[:count] or not backend.info.drafts

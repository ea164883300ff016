from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.generate import generate, job, tokens

from mongarsd.ground.sampling import Sampling
from mongarsd.inference.engine.base import NoRoom, Row
from mongarsd.inference.llama.backend import LlamaBackend
from mongarsd.inference.llama.context import DRAFTED, MAX_BATCH, Context
from mongarsd.inference.llama.model import Model

GREEDY = Sampling(temperature=0.0)
PROMPT = job(text="hello there", sampling=GREEDY)


@pytest.fixture(autouse=True)
def _clear(tiny: LlamaBackend) -> None:
    for sequence in range(tiny.info.slots):
        tiny.trim(sequence, 0)


def test_prompt_in_chunks_gives_the_same_as_in_one(tiny: LlamaBackend) -> None:
    whole = tokens(generate(tiny, PROMPT, 8))
    prompt = tiny.prompt(PROMPT).tokens
    tiny.trim(0, 0)
    tiny.decode([Row(0, 0, prompt[:4], False)])
    tiny.decode([Row(0, 4, prompt[4:], True)])
    assert tiny.sampler(PROMPT, prompt).sample(0).token == whole[0]


def test_rows_may_come_in_any_order_of_sequences(tiny: LlamaBackend) -> None:
    jobs = [job(text=text, sampling=GREEDY) for text in ("one", "two and two", "three", "four")]
    alone = [tokens(generate(tiny, each, 1))[0] for each in jobs]
    prompts = [tiny.prompt(each).tokens for each in jobs]
    for sequence in range(4):
        tiny.trim(sequence, 0)
    order = [2, 0, 3, 1]
    tiny.decode([Row(sequence, 0, prompts[sequence], True) for sequence in order])
    together = [tiny.sampler(jobs[s], prompts[s]).sample(row).token for row, s in enumerate(order)]
    assert together == [alone[s] for s in order]


def test_decoding_and_prefill_share_a_step(tiny: LlamaBackend) -> None:
    first, second = tokens(generate(tiny, PROMPT, 2))
    prompt = tiny.prompt(PROMPT).tokens
    sampler = tiny.sampler(PROMPT, prompt)
    tiny.trim(0, 0)
    tiny.decode([Row(0, 0, prompt, True)])
    assert sampler.sample(0).token == first
    tiny.decode([Row(1, 0, list(range(100)), False), Row(0, len(prompt), [first], True)])
    assert sampler.sample(1).token == second


def test_a_trimmed_sequence_goes_on_from_there(tiny: LlamaBackend) -> None:
    expected = tokens(generate(tiny, PROMPT, 6))
    prompt = tiny.prompt(PROMPT).tokens
    assert tiny.trim(0, len(prompt) - 1)
    tiny.decode([Row(0, len(prompt) - 1, prompt[-1:], True)])
    assert tiny.sampler(PROMPT, prompt).sample(0).token == expected[0]


def test_a_copy_trimmed_continues_like_its_source(tiny_path: Path) -> None:
    model = Model(str(tiny_path))
    context = Context(model, slots=3, context=256, decode_threads=1, prefill_threads=1)
    prompt = list(b"a long enough prompt to be shared")

    def best(sequence: int) -> list[float]:
        context.decode([Row(sequence, 20, prompt[20:], True)])
        return context._lib.llama_get_logits_ith(context.handle, context.output(0))[:262]

    context.decode([Row(0, 0, [*prompt, 1, 2, 3], False)])
    context.copy(0, 2)
    context.copy(2, 2)
    assert context.trim(2, 20)
    copied = best(2)
    context.trim(1, 0)
    context.decode([Row(1, 0, prompt[:20], False)])
    assert copied == pytest.approx(best(1), abs=1e-4)
    context.decode([Row(0, len(prompt) + 3, [4], False)])  # the source was not touched
    context.close()
    context.close()
    model.close()


def test_a_full_sequence_has_no_room_and_nothing_changes(tiny: LlamaBackend) -> None:
    for start in range(0, 256, 64):
        tiny.decode([Row(1, start, list(range(64)), False)])
    tiny.decode([Row(0, 0, [1, 2], False)])
    with pytest.raises(NoRoom):
        tiny.decode([Row(0, 2, [3], True), Row(1, 256, [1], True)])
    with pytest.raises(ValueError, match="no output"):
        tiny.sampler(PROMPT, [1]).sample(0)
    tiny.decode([Row(0, 2, [3], True)])  # position 2 is still the next
    tiny.trim(1, 255)
    tiny.decode([Row(1, 255, [1], True)])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "0 tokens"),
        ([Row(0, 0, [1] * (MAX_BATCH + 1), False)], "tokens"),
        ([Row(0, 0, [], True), Row(1, 0, [1], True)], "no row"),
        ([Row(4, 0, [1], True)], "no row"),
        ([Row(-1, 0, [1], True)], "no row"),
        ([Row(0, -1, [1], True)], "no row"),
        ([Row(0, i, [1], True) for i in range(4 + DRAFTED + 1)], "outputs"),
        ([Row(0, 0, [1], 2)], "2 outputs"),
        ([Row(0, 0, [1], -1)], "-1 outputs"),
    ],
)
def test_what_would_abort_the_process_is_refused(tiny: LlamaBackend, rows: list[Row], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny.decode(rows)


@pytest.mark.parametrize("row", [Row(0, 7, [1], True), Row(0, 0, [262], True), Row(0, 0, [-1], True)])
def test_what_the_library_refuses_is_a_clear_error(tiny: LlamaBackend, row: Row) -> None:
    tiny.decode([Row(0, 0, [1, 2, 3], False)])
    tiny.trim(0, 3)
    with pytest.raises(RuntimeError, match=r"code -1: \w+"):
        tiny.decode([row])


def test_there_are_only_these_sequences(tiny: LlamaBackend) -> None:
    for wrong in (-1, 4):
        with pytest.raises(ValueError, match="no sequence"):
            tiny.trim(wrong, 0)
        with pytest.raises(ValueError, match="no sequence"):
            tiny.copy(0, wrong)


def test_threads_follow_the_kind_of_step(tiny: LlamaBackend) -> None:
    context = tiny._context
    tiny.set_threads(1, 2)
    tiny.decode([Row(0, 0, [1, 2, 3], False)])
    assert context._lib.llama_n_threads(context.handle) == context._lib.llama_n_threads_batch(context.handle) == 2
    tiny.decode([Row(0, 3, [4], True), Row(1, 0, [4], True)])  # one token each: decoding, though it is a batch
    assert context._lib.llama_n_threads(context.handle) == context._lib.llama_n_threads_batch(context.handle) == 1
    tiny.set_threads(1, 1)


def test_after_close_nothing_reaches_native_code(tiny_path: Path, open_llama: Callable[..., LlamaBackend]) -> None:
    backend = open_llama(tiny_path, slots=1)
    sampler = backend.sampler(PROMPT, [1])
    backend.decode([Row(0, 0, [1], True)])
    backend.close()
    backend.close()
    sampler.close()
    with pytest.raises(RuntimeError, match="closed"):
        backend.decode([Row(0, 1, [1], True)])
    with pytest.raises(ValueError, match=r"closed|no output"):
        sampler.sample(0)
    with pytest.raises(ValueError, match="closed"):
        sampler.accept([1])
    with pytest.raises(ValueError, match="no sequence"):
        backend.trim(0, 0)

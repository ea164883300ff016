"""Models whose sequences cannot be cut, tiny and random but of the real architectures."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fakes.tiny_uncut import CONV, KINDS, KV_HEADS, LAYERS, SHORT, STATE, WIDTH, write_uncut

from mongarsd.inference.engine.base import BLOCK, Row
from mongarsd.inference.llama.backend import LlamaBackend

TOKENS = [(7 * n) % 200 + 1 for n in range(5 * BLOCK + 9)]
COUNT = 4  # blocks: twice the window of gemma3
Open = Callable[..., LlamaBackend]


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def uncut(kind: str, tmp_path_factory: pytest.TempPathFactory, open_llama: Open) -> LlamaBackend:
    return open_llama(write_uncut(tmp_path_factory.mktemp("uncut") / f"{kind}.gguf", kind), slots=3, context=512)


def fill(backend: LlamaBackend, slot: int, tokens: list[int]) -> None:
    backend.trim(slot, 0)
    for begin in range(0, len(tokens), BLOCK):
        backend.decode([Row(slot, begin, tokens[begin : begin + BLOCK], 0)])


def rest(backend: LlamaBackend, slot: int) -> list[float]:
    """The logits behind all TOKENS, computed from block COUNT on."""
    context = backend._context
    position = COUNT * BLOCK
    backend.decode([Row(slot, position, TOKENS[position : position + BLOCK], 0)])
    backend.decode([Row(slot, position + BLOCK, TOKENS[position + BLOCK :], 1)])
    found: list[float] = context._lib.llama_get_logits_ith(context.handle, context.output(0))[: backend.info.vocabulary]
    return found


def test_it_says_what_its_sequences_are(uncut: LlamaBackend, kind: str) -> None:
    assert uncut.checkpoints
    assert uncut.layout
    assert (uncut.info.cuts, uncut.blocks) == {"mamba": (False, False), "lfm2": (False, True), "gemma3": (True, True)}[
        kind
    ]
    row = KV_HEADS * (WIDTH // 4) * 2 * 2  # K and V of one layer, f16
    assert uncut.info.kv_bytes_per_token == {"mamba": 0, "lfm2": row, "gemma3": LAYERS * row}[kind]


def test_restored_sequences_compute_the_same_bits_in_every_slot(uncut: LlamaBackend) -> None:
    fill(uncut, 1, TOKENS[: COUNT * BLOCK])
    blocks, state = uncut.export(1, 0, COUNT) if uncut.blocks else [], uncut.checkpoint(1)
    assert uncut.checkpoint_size(COUNT * BLOCK) == pytest.approx(len(state), rel=0.2)
    wanted = rest(uncut, 1)
    for slot in range(uncut.info.slots):
        fill(uncut, slot, TOKENS[50:90])  # what is there goes
        assert uncut.restore(slot, blocks, state)
        assert uncut.checkpoint(slot) == state or uncut.info.cuts  # a window's names the slot
        assert rest(uncut, slot) == wanted


def test_blocks_may_be_exported_after_the_sequence_went_on(uncut: LlamaBackend) -> None:
    if not uncut.blocks:
        return
    fill(uncut, 0, TOKENS[: COUNT * BLOCK])
    before = uncut.export(0, 0, COUNT)
    rest(uncut, 0)
    assert uncut.export(0, 0, COUNT) == before


def test_what_is_no_checkpoint_is_refused_and_leaves_an_empty_slot(uncut: LlamaBackend) -> None:
    fill(uncut, 0, TOKENS[: COUNT * BLOCK])
    blocks, state = uncut.export(0, 0, COUNT) if uncut.blocks else [], uncut.checkpoint(0)
    wanted = rest(uncut, 0)
    for wrong in (state[:-1], state[:9], b"\xff" * len(state)):
        assert not uncut.restore(1, blocks, wrong)
    if blocks:
        assert not uncut.restore(1, [*blocks[:-1], blocks[-1][:-1]], state)
    fill(uncut, 1, TOKENS[: COUNT * BLOCK])  # as usable as before
    assert rest(uncut, 1) == wanted


def test_a_recurrent_state_is_small_and_does_not_grow(uncut: LlamaBackend, kind: str) -> None:
    if kind == "gemma3":
        return
    fill(uncut, 0, TOKENS[:BLOCK])
    short = len(uncut.checkpoint(0))
    fill(uncut, 0, TOKENS[: COUNT * BLOCK])
    assert len(uncut.checkpoint(0)) == short
    inner = 2 * WIDTH
    floats = {"mamba": LAYERS * inner * (CONV - 1 + STATE), "lfm2": 2 * WIDTH * (SHORT - 1)}[kind]
    assert 4 * floats <= short <= 4 * floats + 200

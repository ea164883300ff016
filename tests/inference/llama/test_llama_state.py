"""llama.cpp's sequence state, cut into blocks and put together again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.inference.engine.base import BLOCK, Row
from mongarsd.inference.llama import state
from mongarsd.inference.llama.backend import LlamaBackend

TOKENS = [(7 * n) % 200 + 1 for n in range(3 * BLOCK + 5)]


def fill(tiny: LlamaBackend, slot: int, tokens: list[int]) -> None:
    tiny.trim(slot, 0)
    for begin in range(0, len(tokens), BLOCK):
        tiny.decode([Row(slot, begin, tokens[begin : begin + BLOCK], False)])


def next_logits(tiny: LlamaBackend, slot: int, position: int) -> list[float]:
    tiny.decode([Row(slot, position, [5], True)])
    context = tiny._context
    found: list[float] = context._lib.llama_get_logits_ith(context.handle, context.output(0))[: tiny.info.vocabulary]
    tiny.trim(slot, position)
    return found


def test_restored_cells_compute_the_same_bits_in_every_slot(tiny: LlamaBackend) -> None:
    """Three blocks and five tokens."""
    fill(tiny, 1, TOKENS)
    blocks = tiny.export(1, 0, 4)
    wanted = next_logits(tiny, 1, len(TOKENS))
    for slot in range(tiny.info.slots):
        fill(tiny, slot, TOKENS[50:90])  # what is there goes
        assert tiny.restore(slot, blocks)
        assert next_logits(tiny, slot, len(TOKENS)) == wanted
        assert tiny.export(slot, 0, 4) == blocks
    assert tiny.export(0, 1, 2) == blocks[1:2]
    for slot in range(tiny.info.slots):
        tiny.trim(slot, 0)


def test_what_is_no_block_is_refused_and_leaves_an_empty_slot(tiny: LlamaBackend) -> None:
    fill(tiny, 0, TOKENS)
    block = tiny.export(0, 0, 1)[0]
    assert tiny.export(0, 0, 5) == []  # it has not so many
    assert not tiny.restore(0, [])
    assert not tiny.restore(0, [block, block[:-1]])
    tiny.trim(0, 0)
    assert not tiny._context.put_state(0, b"\0" * 64)
    fill(tiny, 0, TOKENS)  # as usable as before
    assert tiny.export(0, 0, 1) == [block]
    tiny.trim(0, 0)


def test_a_model_says_how_its_blocks_look(tiny: LlamaBackend) -> None:
    assert tiny.layout
    assert tiny._layout is not None
    assert tiny._layout.row == tiny.info.kv_bytes_per_token


LAYOUT = state.Layout(3, 2, ((1, 4), (1, 4), (1, 2), (1, 2)))


@given(st.lists(st.binary(min_size=24, max_size=24), min_size=1, max_size=5))
def test_cut_undoes_join(blocks: list[bytes]) -> None:
    whole = memoryview(state.join(LAYOUT, blocks, 2))
    assert state.parse(whole)[:2] == (LAYOUT, 2 * len(blocks))
    assert state.cut(whole, 2, 0, len(blocks)) == blocks
    *full, last = blocks
    short = state.join(LAYOUT, [*full, last[:4] + last[8:12] + last[16:18] + last[20:22]], 2)
    assert state.cut(memoryview(short), 2, 0, len(blocks))[:-1] == full
    assert len(state.cut(memoryview(short), 2, 0, len(blocks))[-1]) == LAYOUT.row
    with pytest.raises(state.Unsliceable):
        state.cut(whole, 2, 0, len(blocks) + 1)


@given(st.data())
def test_a_state_that_is_not_understood_is_never_cut(data: st.DataObject) -> None:
    whole = bytearray(state.join(LAYOUT, [bytes(24)] * 2, 2))
    kind = data.draw(st.sampled_from(["short", "long", "garbage"]))
    if kind == "short":
        del whole[data.draw(st.integers(0, len(whole) - 1)) :]
    elif kind == "long":
        whole += data.draw(st.binary(min_size=1, max_size=9))  # a second part: another cache, a recurrent state
    else:
        whole = bytearray(data.draw(st.binary(max_size=200)))
    with pytest.raises(state.Unsliceable):
        state.parse(memoryview(whole))


@pytest.mark.parametrize(("offset", "value"), [(16, 9), (20, 2), (64, 1)])
def test_odd_cells_and_a_transposed_v_are_not_cut(offset: int, value: int) -> None:
    """The second field is a cell's position, then how many sequences own it, then the flag behind four cells."""
    whole = bytearray(state.join(LAYOUT, [bytes(24)] * 2, 2))
    whole[offset : offset + 4] = value.to_bytes(4, "little")
    with pytest.raises(state.Unsliceable):
        state.parse(memoryview(whole))

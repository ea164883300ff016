"""Checkpoints among the blocks: within budget, never without their blocks, and the dearer ones stay longer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.inference.cache import keys
from mongarsd.inference.cache.ledger import CHECKPOINT, worth
from mongarsd.inference.cache.ram import Ram

SPACE = keys.seed("model")
BLOCK = 64


@given(st.integers(1, 200))
def test_a_checkpoint_saves_what_all_blocks_before_it_cost(count: int) -> None:
    blocks = sum(worth(n * BLOCK) for n in range(count))
    assert blocks <= worth(CHECKPOINT + count * BLOCK) <= blocks * 1.1


def test_of_equal_age_and_size_the_longer_one_stays() -> None:
    ram = Ram(30)
    for count in (4, 32, 16):
        assert ram.put(bytes([count]), keys.ROOT, CHECKPOINT + count * BLOCK, b"x" * 10, 0.0)
    assert ram.put(b"new", keys.ROOT, CHECKPOINT + 8 * BLOCK, b"x" * 10, 5.0)
    assert [bytes([count]) in ram for count in (4, 16, 32)] == [False, True, True]


@given(
    talks=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5), st.booleans()), max_size=20),
    budget=st.integers(0, 120),
)
def test_a_checkpoint_is_never_kept_without_its_blocks(talks: list[tuple[int, int, bool]], budget: int) -> None:
    ram = Ram(budget)
    known: dict[bytes, list[bytes]] = {}
    for now, (who, count, kept) in enumerate(talks):
        chain = keys.chain(SPACE, [who] * BLOCK * count, BLOCK)
        for number, key in enumerate(chain):
            ram.put(key, chain[number - 1] if number else SPACE, number * BLOCK, b"x" * 8, float(now))
        if kept:
            name = keys.checkpoint(chain[-1])
            known[name] = chain
            ram.put(name, chain[-1], CHECKPOINT + count * BLOCK, b"x" * 3, float(now))
        assert ram.used <= budget
        assert all(key in ram for name, line in known.items() if name in ram for key in line)

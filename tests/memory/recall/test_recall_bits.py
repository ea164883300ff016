from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongarsd.memory.recall import bits as module
from mongarsd.memory.recall import codec
from mongarsd.memory.recall.bits import BitIndex, _popcount, table_popcount


def vectors(count: int, dimensions: int, seed: int = 7) -> np.ndarray:
    """Of length 1, in clusters, as embeddings are; the same whichever tests ran before."""
    chance = np.random.default_rng(seed)
    middles = chance.normal(size=(max(count // 20, 1), dimensions))
    found = middles[chance.integers(len(middles), size=count)] + chance.normal(scale=0.7, size=(count, dimensions))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype("<f4")


def signs(number: int, dimensions: int = 64) -> bytes:
    return codec.encode(np.random.default_rng(number).normal(size=dimensions).astype("<f4").tobytes()).bits


@pytest.mark.parametrize("dimensions", [1, 7, 64, 100, 384])
def test_a_vector_survives_its_coding(dimensions: int) -> None:
    table = vectors(50, dimensions)
    coded = [codec.encode(row.tobytes()) for row in table]
    assert {len(one.numbers) for one in coded} == {dimensions + codec.HEADER}
    assert {len(one.bits) for one in coded} == {-(-dimensions // 64) * 8}
    cosines = codec.similarities(table[0].tobytes(), [one.numbers for one in coded])
    assert np.allclose(cosines, table @ table[0], atol=0.02)


def test_a_vector_of_zeros_and_no_vectors() -> None:
    zeros = bytes(4 * 8)
    assert codec.encode(zeros).bits == bytes(8)
    assert codec.similarities(zeros, []).tolist() == []
    assert codec.similarities(zeros, [codec.encode(zeros).numbers]).tolist() == [0.0]


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_bits_are_counted_the_same_with_any_numpy(words: list[int]) -> None:
    table = np.array(words, np.uint64)
    expected = [word.bit_count() for word in words]
    assert _popcount(table).tolist() == table_popcount(table).tolist() == expected


@pytest.mark.parametrize("dimensions", [64, 100, 384])
def test_it_finds_what_exact_search_finds(dimensions: int) -> None:
    table, questions = vectors(3000, dimensions), vectors(40, dimensions, seed=8)
    index = BitIndex(dimensions)
    coded = [codec.encode(row.tobytes()) for row in table]
    index.extend((number, one.bits) for number, one in enumerate(coded))
    exact = np.argsort(-(questions @ table.T), axis=1)[:, :10]
    right = 0
    for question, best in zip(questions, exact, strict=True):
        near = index.search(question.tobytes(), 300)
        cosines = codec.similarities(question.tobytes(), [coded[number].numbers for number in near])
        right += len({near[place] for place in np.argsort(-cosines)[:10]} & set(best.tolist()))
    assert right / 400 > 0.9


def test_with_room_for_all_the_nearest_by_hamming_distance_comes_first() -> None:
    index = BitIndex(64)
    index.extend((number, signs(number)) for number in range(30))
    question = np.random.default_rng(5).normal(size=64).astype("<f4").tobytes()
    assert index.search(question, 100)[0] == 5
    assert len(index.search(question, 100)) == 30


def test_an_empty_index_finds_nothing() -> None:
    index = BitIndex(384)
    index.remove(3)
    assert index.search(bytes(4 * 384), 10) == []
    assert (len(index), index.size) == (0, 0)


Operation = tuple[str, int]
operations = st.lists(st.tuples(st.sampled_from(["put", "again", "remove", "extend"]), st.integers(0, 60)), max_size=60)


@settings(max_examples=60, deadline=None)
@given(operations, st.sampled_from([2, 3, 8]))
def test_any_history_leaves_what_a_dictionary_would_hold(history: list[Operation], block: int) -> None:
    before, module.BLOCK = module.BLOCK, block
    try:
        index, model = BitIndex(64), dict[int, bytes]()
        for verb, key in history:
            if verb == "remove":
                index.remove(key)
                model.pop(key, None)
            elif verb == "extend":
                rows = [(max(model, default=0) + 1 + n, signs(key + n)) for n in range(key % 5)]
                index.extend(rows)
                model.update(rows)
            else:
                index.put(key, signs(key + (verb == "again")))
                model[key] = signs(key + (verb == "again"))
            assert list(index.items()) == sorted(model.items())
            assert len(index) == len(model)
        if model:
            question = np.ones(64, "<f4").tobytes()
            assert sorted(index.search(question, 1000)) == sorted(model)
    finally:
        module.BLOCK = before


def test_a_hundred_thousand_vectors_take_less_than_ten_megabytes() -> None:
    index = BitIndex(384)
    index.extend((number, bytes(48)) for number in range(100_000))
    assert index.size < 7_000_000

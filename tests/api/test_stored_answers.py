from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.api.stored_answers import OVERHEAD, StoredAnswers
from mongarsd.ground.clock import FakeClock
from mongarsd.ground.metrics import Metrics
from mongarsd.ground.settings import CacheSettings

TTL = 100.0


def make(clock: FakeClock, room: int = 8 * 1024) -> tuple[StoredAnswers, list[CacheSettings]]:
    settings = [CacheSettings(answers=room, answers_ttl=TTL)]
    return StoredAnswers(clock, lambda: settings[0], Metrics()), settings


def test_a_hit_does_not_extend_its_life() -> None:
    clock = FakeClock()
    answers, _ = make(clock)
    answers.put(b"a", b"A")
    clock.advance(TTL - 1)
    assert answers.get(b"a") == b"A"
    clock.advance(1)
    assert answers.get(b"a") is None
    assert (answers.status().bytes, answers.status().evictions) == (0, 1)


def test_what_is_too_old_goes_without_being_asked_for() -> None:
    clock = FakeClock()
    answers, _ = make(clock)
    answers.put(b"a", b"A")
    clock.advance(TTL)
    assert answers.status().answers == 0


def test_the_longest_unused_goes_first() -> None:
    answers, settings = make(FakeClock())
    for name in (b"a", b"b", b"c"):
        answers.put(name, name)
    answers.get(b"a")
    settings[0] = CacheSettings(answers=2 * (OVERHEAD + 2), answers_ttl=TTL)  # a reload
    assert answers.get(b"b") is None
    assert answers.get(b"a")
    assert answers.get(b"c")


def test_a_shorter_time_counts_for_what_is_there() -> None:
    clock = FakeClock()
    answers, settings = make(clock)
    answers.put(b"a", b"A")
    settings[0] = CacheSettings(answers=8 * 1024, answers_ttl=TTL / 2)
    assert answers.get(b"a") is None


def test_an_answer_that_would_push_out_the_others_is_not_kept() -> None:
    answers, _ = make(FakeClock())
    answers.put(b"a", bytes(answers.largest + 1))
    assert answers.get(b"a") is None
    answers.put(b"a", bytes(answers.largest))
    assert answers.get(b"a")


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 9), st.integers(0, 1200)),
        st.tuples(st.just("get"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 60), st.just(0)),
        st.tuples(st.just("clear"), st.just(0), st.just(0)),
        st.tuples(st.just("room"), st.integers(0, 8000), st.just(0)),
    ),
    max_size=60,
)


@given(_STEPS)
def test_never_too_much_never_too_old_never_another(steps: list[tuple[str, int, int]]) -> None:
    clock = FakeClock()
    answers, settings = make(clock)
    put: dict[bytes, tuple[float, bytes]] = {}
    for what, number, size in steps:
        key = b"%d" % number
        if what == "put":
            content = key * size
            answers.put(key, content)
            if answers.on and len(content) <= answers.largest:
                put[key] = (clock.now, content)
        elif what == "get":
            found = answers.get(key)
            if found is not None:
                made, content = put[key]
                assert found == content
                assert clock.now < made + TTL
        elif what == "wait":
            clock.advance(float(number))
        elif what == "room":
            settings[0] = CacheSettings(answers=number, answers_ttl=TTL)
        else:
            answers.clear()
        status = answers.status()
        assert status.bytes <= settings[0].answers
        assert (status.bytes == 0) == (status.answers == 0)

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.tuning.guard import CALM, CRUMBS, HOLD, Guard, Holdings, Measure, Order, smaller
from mongarsd.tuning.pressure import Pressure

MB = 1_000_000
RESERVE = 100 * MB
ALL = Holdings(caches=50 * MB, slots=True, idle=True)


class Board:
    """A simulated board: `free` bytes at a time, models that give back what the guard orders."""

    def __init__(self, *, caches: int = 0, models: tuple[int, ...] = ()) -> None:
        self.guard = Guard(RESERVE)
        self.caches, self.models = caches, list(models)  # slots of each idle model, 10 MB each
        self.now = 0.0
        self.orders: list[Order] = []

    def run(self, seconds: float, free: int, some: float = 0.0) -> None:
        """`free`: bytes that would be free had we given nothing back."""
        begin = (self.caches, sum(self.models))
        end = self.now + seconds
        while self.now < end:
            given = begin[0] - self.caches + (begin[1] - sum(self.models)) * 10 * MB
            holdings = Holdings(caches=self.caches, slots=any(n > 1 for n in self.models), idle=bool(self.models))
            order = self.guard.decide(self.now, Pressure(available=free + given, some=some), holdings)
            if order:
                self.orders.append(order)
                self.obey(order)
            self.now += 1.0

    def obey(self, order: Order) -> None:
        if order.measure is Measure.SHRINK:
            self.caches = max(0, self.caches - order.need)
        elif order.measure is Measure.FEWER_SLOTS:
            index = next(i for i, n in enumerate(self.models) if n > 1)
            self.models[index] //= 2
        elif order.measure is Measure.UNLOAD:
            self.models.pop(0)

    @property
    def measures(self) -> list[Measure]:
        return [order.measure for order in self.orders]


def test_a_calm_board_gives_nothing_up() -> None:
    board = Board(caches=500 * MB, models=(8, 4))
    board.run(3600, 300 * MB)
    assert board.orders == []
    assert board.guard.why == ""


def test_caches_go_first_and_no_more_than_needed() -> None:
    board = Board(caches=500 * MB, models=(8,))
    board.run(120, 50 * MB)
    assert board.measures == [Measure.SHRINK]
    assert board.orders[0].need == 150 * MB
    assert board.orders[0].why == "only 50 MB are free, and 100 MB should be"
    assert board.models == [8]


def test_then_slots_then_models() -> None:
    board = Board(caches=10 * MB, models=(4, 1))
    board.run(600, -1000 * MB)
    slots, unload = Measure.FEWER_SLOTS, Measure.UNLOAD
    assert board.measures == [Measure.SHRINK, slots, slots, unload, unload]
    assert "free" in board.guard.why


def test_a_blip_is_waited_out_but_not_when_almost_nothing_is_left() -> None:
    guard = Guard(RESERVE)
    assert guard.decide(0.0, Pressure(available=90 * MB), ALL) is None
    assert guard.decide(1.0, Pressure(available=300 * MB), ALL) is None
    assert guard.decide(2.0, Pressure(available=90 * MB), ALL) is None
    assert guard.decide(2.0 + HOLD, Pressure(available=90 * MB), ALL) is not None
    assert Guard(RESERVE).decide(0.0, Pressure(available=5 * MB), ALL) is not None


def test_waiting_for_memory_counts_unless_plenty_is_free_and_it_is_not_ours() -> None:
    def decides(pressure: Pressure) -> bool:
        guard = Guard(RESERVE)
        guard.decide(0.0, pressure, ALL)
        return guard.decide(HOLD, pressure, ALL) is not None

    assert decides(Pressure(available=200 * MB, some=30.0))
    assert decides(Pressure(available=200 * MB, full=6.0))
    assert decides(Pressure(some=30.0))
    assert not decides(Pressure(available=900 * MB, some=90.0))
    assert decides(Pressure(available=900 * MB, own=30.0))
    assert not decides(Pressure(available=200 * MB, some=10.0))


def test_slots_come_back_after_a_calm_minute_once() -> None:
    board = Board(models=(8,))
    board.run(4, 50 * MB)
    assert board.measures == [Measure.FEWER_SLOTS]
    board.run(CALM - 2, 500 * MB)
    assert board.measures[1:] == []
    board.run(300, 500 * MB)
    assert board.measures[1:] == [Measure.RESTORE]
    board.models = [8]
    board.run(4, 50 * MB)
    board.run(2 * CALM - 2, 500 * MB)
    assert board.measures[2:] == [Measure.FEWER_SLOTS]
    board.run(9, 500 * MB)
    assert board.measures[2:] == [Measure.FEWER_SLOTS, Measure.RESTORE]


@given(
    st.integers(0, 400 * MB),
    st.lists(st.integers(1, 16), max_size=4),
    st.lists(
        st.tuples(st.integers(1, 90), st.integers(-500 * MB, 2000 * MB), st.floats(0.0, 100.0)), min_size=1, max_size=8
    ),
)
def test_any_history(caches: int, models: list[int], history: list[tuple[int, int, float]]) -> None:
    board = Board(caches=caches, models=tuple(models))
    for seconds, free, some in history:
        before, held = len(board.orders), board.caches
        board.run(seconds, free, some)
        fresh = [m for m in board.measures[before:] if m is not Measure.RESTORE]
        if free >= RESERVE and some < 20.0:
            assert fresh == []  # never when calm
        order = list(Measure)
        assert fresh == sorted(fresh, key=order.index)  # in order
        if any(m is not Measure.SHRINK for m in fresh):
            assert board.caches < CRUMBS or held < CRUMBS
    board.run(1000, -5000 * MB)
    assert board.caches < CRUMBS
    assert not board.models  # whatever can be given is given when it must be
    board.run(CALM + 2, 900 * MB)
    assert board.guard.why == ""
    assert board.guard.decide(board.now, Pressure(available=900 * MB), ALL) is None


def test_less_is_half_the_slots_then_half_the_context() -> None:
    steps, now = [], (6, 2048)
    while more := smaller(*now):
        steps.append(now := more)
    assert steps == [(3, 2048), (1, 2048), (1, 1024), (1, 512)]
    assert smaller(1, 700) is None

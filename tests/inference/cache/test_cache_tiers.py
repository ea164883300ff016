"""RAM and disk under random histories: within budget, parents before children, and never a wrong byte."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mongarsd.inference.cache import keys
from mongarsd.inference.cache.disk import Disk, clear, scan
from mongarsd.inference.cache.ram import Ram
from mongarsd.inference.cache.writes import DAY, DailyWrites

SPACE = keys.seed("model", "build")
BLOCK = 4
#: Of few blocks, so that they begin alike and come back; some end inside a block.
conversations = st.builds(
    lambda blocks, rest: [token for block in blocks for token in block] + rest,
    st.lists(st.sampled_from([[0] * BLOCK, [1] * BLOCK, [0, 1, 2, 0]]), min_size=1, max_size=5),
    st.sampled_from([[], [0], [1, 2, 0]]),
)


def chain(tokens: list[int]) -> list[tuple[bytes, bytes, int, bytes]]:
    """(key, parent, position, bytes) of each block; the bytes say what the block stands for."""
    names = keys.chain(SPACE, tokens, BLOCK)
    return [
        (key, names[n - 1] if n else SPACE, n * BLOCK, bytes(tokens[: (n + 1) * BLOCK])) for n, key in enumerate(names)
    ]


class RamMachine(RuleBasedStateMachine):
    @initialize(budget=st.integers(0, 120))
    def start(self, budget: int) -> None:
        self.ram, self.budget, self.now = Ram(budget), budget, 0.0
        self.known: dict[bytes, tuple[bytes, int, bytes]] = {}

    @rule(tokens=conversations)
    def put(self, tokens: list[int]) -> None:
        self.now += 1
        for key, parent, position, block in chain(tokens):
            self.known[key] = parent, position, block
            there = self.ram.put(key, parent, position, block, self.now)
            assert there == (key in self.ram)

    @rule(tokens=conversations)
    def get(self, tokens: list[int]) -> None:
        self.now += 1
        for key, _, _, block in chain(tokens):
            assert self.ram.get(key, self.now) == (block if key in self.ram else None)

    @rule(tokens=conversations)
    def remove(self, tokens: list[int]) -> None:
        key = chain(tokens)[0][0]
        self.ram.remove(key)
        assert key not in self.ram

    @invariant()
    def within_budget_and_rooted(self) -> None:
        held = {key for key in getattr(self, "known", {}) if key in self.ram}
        assert sum(len(self.known[key][2]) for key in held) == self.ram.used <= self.budget if held else True
        for key in held:
            parent, position, _ = self.known[key]
            assert not position or parent in held


class DiskMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.now = 100 * DAY
        self.budget, self.daily = 0, 0
        self.known: dict[bytes, tuple[bytes, int]] = {}
        self.talks: list[list[int]] = []

    @initialize(
        files=st.sampled_from([12, 12, 5, 1, 0]),
        daily=st.sampled_from([10**6, 10**6, 3000, 500, 0]),
        talks=st.lists(conversations, min_size=2, max_size=4),  # else half of the histories are of empty folders
    )
    def start(self, files: int, daily: int, talks: list[list[int]]) -> None:
        self.budget, self.daily = files * 4096, daily
        self.writes: dict[int, int] = {}
        self.reopen()
        for tokens in talks:
            self.put(tokens)

    @rule()
    def reopen(self) -> None:
        writes = DailyWrites(self.root / "written", self.daily)
        self.disk = Disk(self.root, SPACE, budget=self.budget, writes=writes, clock=lambda: self.now)
        self.disk.open()

    @rule(tokens=conversations)
    def put(self, tokens: list[int]) -> None:
        self.now += 1
        self.talks.append(tokens)
        before = self.disk.written
        for key, parent, position, block in chain(tokens):
            self.known[key] = parent, position
            self.disk.put(key, parent, position, block)
        day = int(self.now // DAY)
        self.writes[day] = self.writes.get(day, 0) + self.disk.written - before
        assert self.writes[day] <= self.daily

    @rule(which=st.integers(0, 100))
    def get(self, which: int) -> None:
        for key, _, _, block in chain(self.talks[which % len(self.talks)]):
            there = key in self.disk
            got = self.disk.get(key)
            assert got in (None, block)
            assert (got is None) or there
            assert (key in self.disk) == (got is not None)

    @rule()
    def tomorrow(self) -> None:
        self.now += DAY

    @rule(
        which=st.integers(0, 100), at=st.integers(0, 200), how=st.sampled_from(["flip", "cut", "grow", "gone", "swap"])
    )
    def damage(self, which: int, at: int, how: str) -> None:
        files = sorted(found.path for found in scan(self.root))
        if not files:
            return
        path, other = files[which % len(files)], files[at % len(files)]
        content = bytearray(path.read_bytes())
        if not content:
            return  # cut to nothing before
        if how == "flip":
            content[at % len(content)] ^= 1
        elif how == "cut":
            del content[at % len(content) :]
        elif how == "grow":
            content += b"x"
        elif how == "swap" and other != path:
            content = bytearray(other.read_bytes())
        path.unlink()
        if how != "gone":
            path.write_bytes(content)

    @invariant()
    def within_budget_and_rooted(self) -> None:
        assert sum(-(-found.size // 4096) * 4096 for found in scan(self.root)) <= self.budget
        for key, (parent, position) in self.known.items():
            if key in self.disk:
                assert not position or parent in self.disk
        assert self.disk.used == 4096 * len(self.disk)  # nothing here is larger than a sector

    def teardown(self) -> None:
        for which in range(len(self.talks)):
            self.get(which)
            self.within_budget_and_rooted()
        shutil.rmtree(self.root)


TestRam = RamMachine.TestCase
TestRam.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestDisk = DiskMachine.TestCase
TestDisk.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def make_disk(root: Path, budget: int = 1 << 20, daily: int = 1 << 20, now: float = 1e9) -> Disk:
    disk = Disk(root, SPACE, budget=budget, writes=DailyWrites(root / "written", daily), clock=lambda: now)
    disk.open()
    return disk


def test_a_new_process_finds_what_was_written(tmp_path: Path) -> None:
    blocks = chain([0, 1, 2, 0, 1, 2, 0, 1])
    first = make_disk(tmp_path)
    assert all(first.put(*block) for block in blocks)
    second = make_disk(tmp_path)
    assert [second.get(key) for key, *_ in blocks] == [block for *_, block in blocks]
    assert all(found.path.stat().st_mode & 0o777 == 0o600 for found in scan(tmp_path))


def test_orphans_and_strangers_go(tmp_path: Path) -> None:
    disk = make_disk(tmp_path)
    for block in chain([0, 1, 2, 0, 1, 2, 0, 1]):
        disk.put(*block)
    first, second = sorted(found.path for found in scan(tmp_path))
    first.unlink()
    stranger = second.with_name("notes.txt")
    stranger.write_text("not ours")
    os.utime(stranger, (1.0, 1.0))
    keep = tmp_path / "not-a-space"
    keep.mkdir()
    assert len(make_disk(tmp_path)) == 0
    assert not list(scan(tmp_path))
    assert not stranger.exists()
    assert keep.exists()


def test_what_another_model_left_ages_out(tmp_path: Path) -> None:
    other = Disk(
        tmp_path, keys.seed("other"), budget=8192, writes=DailyWrites(tmp_path / "w", 1 << 20), clock=lambda: 1e9
    )
    other.open()
    assert other.put(b"o" * 16, keys.seed("other"), 0, b"old")
    disk = make_disk(tmp_path, budget=8192, now=2e9)
    assert all(disk.put(*block) for block in chain([0, 1, 2, 0, 1, 2, 0, 1]))
    assert {found.path.parent.name for found in scan(tmp_path)} == {SPACE.hex()}
    assert disk.evictions == 1


def test_what_a_clock_that_was_ahead_left_ages_out(tmp_path: Path) -> None:
    old, *others = (chain([letter] * BLOCK)[0] for letter in range(3))
    assert make_disk(tmp_path).put(*old)
    (found,) = scan(tmp_path)
    os.utime(found.path, (9e9, 9e9))
    now = 1e9
    disk = Disk(tmp_path, SPACE, budget=8192, writes=DailyWrites(tmp_path / "w", 1 << 20), clock=lambda: now)
    disk.open()
    for other in others:
        now += 1
        assert disk.put(*other)
    assert [key in disk for key, *_ in (old, *others)] == [False, True, True]


def test_a_whole_file_under_anothers_name_is_a_miss(tmp_path: Path) -> None:
    disk = make_disk(tmp_path)
    one, other = (chain([letter] * BLOCK)[0] for letter in range(2))
    assert disk.put(*one)
    assert disk.put(*other)
    first, second = (found.path for found in scan(tmp_path))
    first.write_bytes(second.read_bytes())
    assert sorted(disk.get(key) or b"" for key, *_ in (one, other)) in ([b"", one[3]], [b"", other[3]])


def test_a_disk_that_refuses_costs_only_the_tier(tmp_path: Path) -> None:
    disk = make_disk(tmp_path)
    (tmp_path / SPACE.hex()).write_text("in the way")
    assert not disk.put(*chain([0, 1, 2, 0])[0])
    assert len(disk) == disk.used == 0


def test_cleared_is_empty(tmp_path: Path) -> None:
    disk = make_disk(tmp_path)
    blocks = chain([0, 1, 2, 0])
    assert disk.put(*blocks[0])
    assert clear(tmp_path) > 0
    assert not list(scan(tmp_path))
    assert disk.get(blocks[0][0]) is None
    disk.clear()
    assert disk.put(*blocks[0])


def test_equal_beginnings_have_equal_keys_and_nothing_else() -> None:
    one, two = keys.chain(SPACE, [1] * 12, 4), keys.chain(SPACE, [1] * 8 + [2] * 4, 4)
    assert one[:2] == two[:2]
    assert one[2] != two[2]
    assert not set(one) & set(keys.chain(keys.seed("another"), [1] * 12, 4))

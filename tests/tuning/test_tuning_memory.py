from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.tuning.cgroup import Limits
from mongarsd.tuning.memory import Memory, available, parse_meminfo, parse_swaps, read_memory

KB = 1024


def test_meminfo() -> None:
    assert parse_meminfo("MemTotal:  949328 kB\nMemAvailable: 884628 kB\nHugePages_Total: 0\nbroken\nX: -1 kB") == {
        "MemTotal": 949328 * KB,
        "MemAvailable": 884628 * KB,
    }
    assert parse_meminfo(None) == {}


def test_swaps_tell_zram_from_storage() -> None:
    text = "Filename Type Size Used Priority\n/dev/zram0 partition 1000 0 100\n/var/swap file 300 0 -2\nbroken"
    assert parse_swaps(text) == (300 * KB, 1000 * KB)
    assert parse_swaps(None) == (0, 0)


def test_available_respects_the_control_group() -> None:
    assert available({"MemAvailable": 500}, Limits()) == 500
    assert available({"MemAvailable": 500}, Limits(available=200)) == 200
    assert available({"MemFree": 100, "Cached": 50}, Limits()) == 150  # kernels before 3.14
    assert available({}, Limits()) is None


def test_usable_is_the_smaller_of_total_and_limit() -> None:
    assert Memory(total=800, limit=500).usable == 500
    assert Memory(total=800, limit=5000).usable == 800
    assert Memory().usable is None


def test_no_meminfo(make_tree: Any) -> None:
    assert read_memory(make_tree({}), Limits()) == Memory()


@given(st.text())
def test_parsers_never_raise(text: str) -> None:
    parse_meminfo(text), parse_swaps(text), parse_swaps("x\n" + text)

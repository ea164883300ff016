from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.tuning.cpu import Cpu, parse_cpuinfo, parse_cpulist, performance_cpus, read_cpu

FOLDER = "sys/devices/system/cpu"


@pytest.mark.parametrize(
    ("text", "cpus"), [("0-3", {0, 1, 2, 3}), ("0,2-3,8\n", {0, 2, 3, 8}), ("5", {5}), ("0-1,x,3", {0, 1, 3})]
)
def test_cpulist_ok(text: str, cpus: set[int]) -> None:
    assert parse_cpulist(text) == cpus


@pytest.mark.parametrize("text", [None, "", "a-b", "3-1", "-1", "0-99999999"])
def test_cpulist_fail(text: str | None) -> None:
    assert parse_cpulist(text) == frozenset()


def test_cpuinfo_of_arm() -> None:
    info = parse_cpuinfo("processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\n\nprocessor : 1\nFeatures : fp asimddp\n")
    assert info.processors == {0, 1}
    assert info.features == ("dotprod",)  # the second core has no i8mm
    assert not info.hypervisor


def test_cpuinfo_of_x86() -> None:
    info = parse_cpuinfo("processor : 0\nmodel name : AMD EPYC\nflags : avx2 avx512f avx512_vnni avx_vnni hypervisor")
    assert info.features == ("avx2", "avx512", "vnni")
    assert info.name == "AMD EPYC"
    assert info.hypervisor


def test_performance_cores() -> None:
    assert performance_cpus({0: 414, 1: 414, 4: 1024, 5: 1024}) == {4, 5}
    assert performance_cpus({0: 1024, 1: 1024}) == {0, 1}
    assert performance_cpus({}) == frozenset()


def test_big_little(make_tree: Any) -> None:
    files = {f"{FOLDER}/online": "0-7"}
    files |= {f"{FOLDER}/cpu{cpu}/cpu_capacity": "414" if cpu < 4 else "1024" for cpu in range(8)}
    cpu = read_cpu(make_tree(files))
    assert (cpu.online, cpu.physical, cpu.efficiency, cpu.usable) == (8, 8, 4, 4)


def test_intel_hybrid(make_tree: Any) -> None:
    cpu = read_cpu(make_tree({f"{FOLDER}/online": "0-7", "sys/devices/cpu_core/cpus": "0-3"}))
    assert (cpu.efficiency, cpu.usable) == (4, 4)


def test_two_hyper_threads_of_one_core_are_both_used(make_tree: Any) -> None:
    files = {f"{FOLDER}/online": "0-1"} | {f"{FOLDER}/cpu{i}/topology/thread_siblings_list": "0-1" for i in (0, 1)}
    cpu = read_cpu(make_tree(files))
    assert (cpu.physical, cpu.usable) == (1, 2)


@pytest.mark.parametrize(("allowed", "usable"), [("1-2", 2), ("77", 4)])
def test_affinity(make_tree: Any, allowed: str, usable: int) -> None:
    """Nonsense is not obeyed."""
    tree = make_tree({f"{FOLDER}/online": "0-3", "proc/self/status": f"Name:\tx\nCpus_allowed_list:\t{allowed}\n"})
    assert read_cpu(tree).usable == usable


def test_nothing_known_is_one_core(make_tree: Any) -> None:
    assert read_cpu(make_tree({})) == Cpu(online=1, physical=1, usable=1)


@pytest.mark.parametrize(
    ("usable", "quota", "threads"), [(4, None, 4), (4, 1.5, 1), (4, 2.0, 2), (4, 0.3, 1), (2, 8.0, 2), (0, None, 1)]
)
def test_threads(usable: int, quota: float | None, threads: int) -> None:
    assert Cpu(usable=usable, quota=quota).threads == threads


@given(st.text())
def test_parsers_never_raise(text: str) -> None:
    parse_cpulist(text), parse_cpuinfo(text), parse_cpuinfo(f"processor: {text}\nflags: {text}")

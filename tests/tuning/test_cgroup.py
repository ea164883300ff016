from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.tuning.cgroup import (
    Limits,
    Mount,
    chain,
    parse_cache,
    parse_cpu_max,
    parse_limit,
    parse_membership,
    parse_mounts,
    parse_quota,
    read_limits,
)

MIB = 1 << 20
UNIFIED = "31 25 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"


@pytest.mark.parametrize(("text", "value"), [("1073741824", 1 << 30), ("4096\n", 4096)])
def test_limit_ok(text: str, value: int) -> None:
    assert parse_limit(text) == value


@pytest.mark.parametrize("text", [None, "", "max", "9223372036854771712", "-1", "0", "many"])
def test_limit_none(text: str | None) -> None:
    assert parse_limit(text) is None


@pytest.mark.parametrize(("text", "cpus"), [("150000 100000", 1.5), ("50000 100000", 0.5), ("400000", 4.0)])
def test_cpu_max_ok(text: str, cpus: float) -> None:
    assert parse_cpu_max(text) == cpus


@pytest.mark.parametrize("text", [None, "", "max 100000", "100000 0", "-5 100000", "x y"])
def test_cpu_max_none(text: str | None) -> None:
    assert parse_cpu_max(text) is None


def test_quota() -> None:
    assert parse_quota("200000", "100000") == 2.0
    assert parse_quota("-1", "100000") is None


def test_membership() -> None:
    text = "11:memory:/docker/ab\n10:cpu,cpuacct:/docker/ab\n1:name=systemd:/x\n0::/user.slice"
    assert parse_membership(text) == {
        "memory": "/docker/ab",
        "cpu": "/docker/ab",
        "cpuacct": "/docker/ab",
        "name=systemd": "/x",
        "": "/user.slice",
    }
    assert parse_membership("garbage\n3:x\n0::relative") == {}


def test_mounts() -> None:
    v1 = "35 31 0:32 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory"
    found = parse_mounts(f"{UNIFIED}\n{v1}\n27 1 254:0 / / rw - ext4 /dev/vda rw\ngarbage - cgroup")
    assert found == [
        Mount("/sys/fs/cgroup", "/", frozenset()),
        Mount("/sys/fs/cgroup/memory", "/docker/ab", frozenset({"rw", "memory"})),
    ]


@pytest.mark.parametrize(
    ("root", "group", "folders"),
    [
        ("/", "/system.slice/m.service", ["cg/system.slice/m.service", "cg/system.slice", "cg"]),
        ("/", "/", ["cg"]),
        ("/docker/ab", "/docker/ab", ["cg"]),
        ("/docker/ab", "/docker/ab/inner", ["cg/inner", "cg"]),
        ("/docker/ab", "/elsewhere", ["cg"]),
        ("/", "/../outside", ["cg"]),
    ],
)
def test_chain(root: str, group: str, folders: list[str]) -> None:
    assert list(chain(Mount("/cg", root, frozenset()), group)) == folders


def test_the_smallest_limit_of_all_parents_counts(make_tree: Any) -> None:
    service = "sys/fs/cgroup/system.slice/m.service"
    tree = make_tree(
        {
            "proc/self/mountinfo": UNIFIED,
            "proc/self/cgroup": "0::/system.slice/m.service",
            f"{service}/memory.max": str(900 * MIB),
            f"{service}/memory.current": str(100 * MIB),
            f"{service}/cpu.max": "300000 100000",
            "sys/fs/cgroup/system.slice/memory.max": str(700 * MIB),
            "sys/fs/cgroup/system.slice/memory.high": str(600 * MIB),
            "sys/fs/cgroup/system.slice/memory.current": str(500 * MIB),
            "sys/fs/cgroup/system.slice/memory.stat": f"anon 1\ninactive_file {50 * MIB}",
            "sys/fs/cgroup/system.slice/cpu.max": "250000 100000",
        }
    )
    assert read_limits(tree) == Limits(memory=600 * MIB, available=150 * MIB, cpus=2.5)


def test_no_control_groups_no_limits(make_tree: Any) -> None:
    assert read_limits(make_tree({})) == Limits()
    assert read_limits(make_tree({"proc/self/mountinfo": UNIFIED, "proc/self/cgroup": "0::/x"})) == Limits()


def test_cache_line() -> None:
    assert parse_cache("anon 5\ninactive_file 7\n", "inactive_file") == 7
    assert parse_cache("inactive_file many", "inactive_file") == 0
    assert parse_cache(None, "inactive_file") == 0


@given(st.text())
def test_parsers_never_raise(text: str) -> None:
    parse_limit(text), parse_cpu_max(text), parse_membership(text), parse_cache(text, "x")
    for mount in parse_mounts(text):
        assert list(chain(mount, "/a/b"))

from __future__ import annotations

from typing import Any

import pytest

from mongarsd.tuning.tree import parse_number


@pytest.mark.parametrize(("text", "value"), [("42", 42), (" 7\n", 7), ("-1", -1), ("0", 0)])
def test_number_ok(text: str, value: int) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize("text", [None, "", "max", "1_0", "0x10", "1.5", "--1", "٣", "9" * 21])
def test_number_fail(text: str | None) -> None:
    assert parse_number(text) is None


def test_reads_without_white_space_and_final_nul(make_tree: Any) -> None:
    tree = make_tree({"proc/device-tree/model": "Raspberry Pi 5\0", "sys/x": "3\n"})
    assert tree.text("proc/device-tree/model") == "Raspberry Pi 5"
    assert tree.number("sys/x") == 3
    assert tree.glob("sys/*") == ["sys/x"]


def test_what_cannot_be_read_is_unknown(make_tree: Any) -> None:
    tree = make_tree({"a/b": "1"})
    assert tree.text("missing") is None
    assert tree.text("a") is None  # a folder
    assert tree.number("a/nul\0name") is None
    assert tree.glob("missing/*") == []

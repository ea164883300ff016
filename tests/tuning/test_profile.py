from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.ground.errors import DoesNotFit
from mongarsd.tuning.board import Board, Family
from mongarsd.tuning.profile import HardwareProfile, describe, human, read_profile
from mongarsd.tuning.recommend import recommend
from mongarsd.tuning.tree import Tree

BOARDS = Path(__file__).parent / "boards"
FILES = {
    str(path.relative_to(board)): path.read_bytes()
    for board in sorted(BOARDS.iterdir())
    for path in sorted(board.rglob("*"))
    if path.is_file()
}


class Damaged(Tree):
    """All boards' files at once, some replaced by other bytes or missing."""

    def __init__(self, damage: dict[str, bytes | None]) -> None:
        super().__init__(Path("/nowhere"))
        self._files = {name: data for name, data in (FILES | damage).items() if data is not None}

    def bytes(self, path: str) -> bytes | None:
        return self._files.get(path)

    def exists(self, path: str) -> bool:
        return path in self._files

    def glob(self, pattern: str) -> list[str]:
        return sorted(
            name for name in self._files if Path(name).match(pattern) and name.count("/") == pattern.count("/")
        )


@given(st.dictionaries(st.sampled_from(sorted(FILES)), st.none() | st.binary(max_size=200), max_size=8))
def test_damaged_files_never_raise(damage: dict[str, bytes | None]) -> None:
    profile = read_profile(tree=Damaged(damage))
    assert describe(profile).isprintable()
    assert profile.cpu.threads >= 1
    with suppress(DoesNotFit):
        recommend(profile)


def test_an_empty_root_is_an_unknown_machine(tmp_path: Path) -> None:
    assert read_profile(tmp_path) == HardwareProfile()
    assert describe(HardwareProfile()) == "unknown machine, 1 core, memory unknown"


def test_power_mode_is_asked_only_where_the_files_are_silent(boards: Path) -> None:
    def broken() -> str:
        raise AssertionError("asked")

    assert read_profile(boards / "jetson-orin-nano", power_mode=broken).board.power_mode == "MAXN_SUPER"
    assert read_profile(boards / "raspberry-pi-5", power_mode=broken).board.family is Family.RASPBERRY_PI


def test_power_mode_of_a_jetson_without_files(tmp_path: Path) -> None:
    model = tmp_path / "proc/device-tree/model"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"Jetson AGX Orin\0")
    assert read_profile(tmp_path, power_mode=lambda: "30W").board == Board(
        family=Family.JETSON, name="Jetson AGX Orin", power_mode="30W"
    )


def test_this_machine() -> None:
    profile = read_profile()
    assert profile.cpu.threads >= 1
    assert profile.memory.total


def test_human() -> None:
    assert human(91_726_912) == "92 MB"
    assert human(1_430_000_000) == "1.4 GB"

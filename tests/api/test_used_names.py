"""The names that models in memory were asked for by."""

from __future__ import annotations

from typing import Literal

from fakes.models import TINY
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from mongarsd.api.used import UsedNames
from mongarsd.ground.status import ModelStatus


def model(name: str, loads: int, state: Literal["on_disk", "loading", "ready", "failed"] = "ready") -> ModelStatus:
    return structs.replace(TINY, name=name, loads=loads, state=state)


def test_two_that_wait_for_room_load_it_together() -> None:
    used = UsedNames()
    used.add(model("a", 0, "on_disk"))
    used.add(model("b", 0, "on_disk"))
    used.add(model("c", 1, "loading"))
    assert used.of(model("tiny", 1)) == {"a", "b", "c"}


def test_an_adapter_counts_for_its_base() -> None:
    used = UsedNames()
    used.add(
        structs.replace(TINY, name="tiny:lora", digest="sha256:" + "3" * 64, base=TINY.digest, loads=1, state="ready")
    )
    assert used.of(model("tiny", 1)) == {"tiny:lora"}


@given(st.lists(st.sampled_from(["load", "unload", "a", "b", "c"]), max_size=30))
def test_any_history(steps: list[str]) -> None:
    """What is listed is what was used since the last load began, or had it loaded."""
    used, loads, loaded = UsedNames(), 0, False
    expected: set[str] = set()
    for step in steps:
        if step == "load" and not loaded:  # by nobody's request
            loads, loaded, expected = loads + 1, True, set()
        elif step == "unload":
            loaded = False
        elif step not in ("load", "unload"):
            used.add(model(step, loads, "ready" if loaded else "on_disk"))
            if not loaded:
                loads, loaded, expected = loads + 1, True, set()
            expected.add(step)
        if loaded:
            assert used.of(model("tiny", loads)) == expected

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.api.openai.responses.summarised import HEAD, Shortening, summarised
from mongarsd.api.openai.truncation import shortened
from mongarsd.ground.job import Message
from mongarsd.memory.summaries.types import Carried

ROLES = st.lists(st.sampled_from(["user", "assistant", "tool", "system"]), min_size=2, max_size=30)


def messages(roles: Sequence[str]) -> list[Message]:
    return [Message(role=role, content=f"{number}" * 20) for number, role in enumerate(roles)]


@given(ROLES, st.data())
def test_instructions_come_first_then_the_summary_then_what_it_does_not_tell(
    roles: list[str], data: st.DataObject
) -> None:
    given = messages(roles)
    end = data.draw(st.integers(1, len(given) - 1))
    left = summarised(given, "They met.", end)
    assert left[len(left) - len(given) + end :] == tuple(given[end:])
    assert left[0].role == "system"
    assert left[0].content.endswith(f"{HEAD} They met.")
    assert sum("They met." in one.content for one in left) == 1
    if roles[0] == "system":
        assert left[0].content.startswith(given[0].content)
    kept = [one.content for one in given[:end] if one.role == "system"]
    assert [one.content for one in left[: len(left) - len(given) + end]][1:] == (
        kept[1:] if roles[0] == "system" else kept
    )


def test_a_summary_takes_the_place_of_what_it_tells() -> None:
    given = messages(["system", *["user", "assistant"] * 10, "user"])
    shorten = Shortening(Carried("They met.", 14), told=7)
    left = shorten(given, 1000, 800)
    assert left
    assert (left[1:], shorten.turns) == (tuple(given[-7:]), 14)
    again = shorten(left, 900, 800)
    assert again
    assert again == shortened(left, 900, 800)
    assert (again[0], shorten.turns) == (left[0], 14)


def test_a_summary_that_is_not_enough_or_is_not_there_is_not_told() -> None:
    given = messages(["user", "assistant"] * 10 + ["user"])
    for carried in (Carried("They met.", 2), None):
        shorten = Shortening(carried, told=19)
        assert shorten(given, 1000, 300) == shortened(given, 1000, 300)
        assert shorten.turns == 0

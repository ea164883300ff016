from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.api.openai.truncation import STEP, shortened
from mongarsd.ground.job import Message

ROLES = st.lists(st.sampled_from(["user", "assistant", "tool", "system"]), max_size=30)


def messages(roles: list[str]) -> list[Message]:
    return [Message(role=role, content=f"{number}" * 20) for number, role in enumerate(roles)]


@given(ROLES, st.integers(1, 10_000), st.integers(1, 1000))
def test_what_is_left_is_shorter_begins_with_a_question_and_ends_alike(
    roles: list[str], prompt: int, limit: int
) -> None:
    given = messages(roles)
    left = shortened(given, prompt, limit)
    if left is None:
        assert roles.count("user") < 2
        return
    assert len(left) < len(given)
    systems = roles.count("system")
    assert [one for one in left if one.role == "system"] == [one for one in given if one.role == "system"]
    rest = [one for one in left if one.role != "system"]
    assert rest[0].role == "user"
    assert rest == [one for one in given if one.role != "system"][len(given) - systems - len(rest) :]
    last = max(i for i, role in enumerate(roles) if role == "user")
    assert left[-(len(given) - last) :] == tuple(given[last:])


def test_a_conversation_that_grows_is_cut_at_the_same_place_for_a_while() -> None:
    starts = set()
    for questions in range(20, 20 + STEP):
        given = messages(["user", "assistant"] * questions + ["user"])
        left = shortened(given, prompt=len(given) * 10, limit=200)
        assert left
        starts.add(left[0].content)
    assert len(starts) <= 2

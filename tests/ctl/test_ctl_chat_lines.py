from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.ctl.chat.lines import Lines


def feed(*lines: str) -> list[str | None]:
    reader = Lines()
    return [reader.feed(line) for line in lines]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["hello"], "hello"),
        (["a\\", "b"], "a\nb"),
        (["a\\", "\\", "b"], "a\n\nb"),
        (['"""', "a", "b", '"""'], "a\nb"),
        (['"""a', 'b"""'], "a\nb"),
        (['"""a"""'], "a"),
        (['"""', "/exit", "a\\", '"""'], "/exit\na\\"),
        (['"""', '"""'], ""),
        (["a\nb"], "a\nb"),  # pasted in brackets
    ],
)
def test_a_message_is_complete_at_its_last_line(lines: list[str], message: str) -> None:
    assert feed(*lines) == [None] * (len(lines) - 1) + [message]


def test_clear_forgets_what_was_begun() -> None:
    reader = Lines()
    reader.feed('"""')
    assert reader.pending
    reader.clear()
    assert not reader.pending
    assert reader.feed("x") == "x"


@given(st.lists(st.text(alphabet='ab"\\ \n', max_size=6), max_size=8))
def test_pending_is_true_exactly_between_messages(lines: list[str]) -> None:
    reader = Lines()
    for line in lines:
        complete = reader.feed(line) is not None
        assert reader.pending is not complete


@given(st.lists(st.text(alphabet="ab /\\", max_size=5), min_size=1, max_size=5))
def test_a_block_comes_back_as_it_was(lines: list[str]) -> None:
    assert feed('"""', *lines, '"""')[-1] == "\n".join(lines)

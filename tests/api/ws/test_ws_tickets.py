from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.api.credentials import Identity
from mongarsd.api.ws.tickets import LASTS, MOST, MOST_EACH, PREFIX, Tickets
from mongarsd.ground.errors import Busy, RateLimited, Unauthorized

ANNA, BERT = (Identity(name, frozenset()) for name in ("anna", "bert"))


def test_a_ticket_is_good_once_for_who_asked() -> None:
    tickets = Tickets()
    text = tickets.issue(ANNA, 0.0)
    assert text.startswith(PREFIX)
    assert len(text) == len(PREFIX) + 43
    assert tickets.redeem(text, LASTS - 0.1) is ANNA
    with pytest.raises(Unauthorized):
        tickets.redeem(text, LASTS - 0.1)


@pytest.mark.parametrize("text", ["", "wst_", "x" * 5000, "wst_é\udcff"])
def test_what_is_no_ticket_opens_nothing(text: str) -> None:
    tickets = Tickets()
    tickets.issue(ANNA, 0.0)
    with pytest.raises(Unauthorized) as caught:
        tickets.redeem(text, 0.0)
    assert not text or text not in caught.value.message


def test_a_ticket_ends_by_itself() -> None:
    tickets = Tickets()
    text = tickets.issue(ANNA, 0.0)
    with pytest.raises(Unauthorized):
        tickets.redeem(text, LASTS)
    assert len(tickets) == 0


def test_an_account_cannot_hoard_them_nor_keep_others_from_theirs() -> None:
    tickets = Tickets()
    for _ in range(MOST_EACH):
        tickets.issue(ANNA, 0.0)
    with pytest.raises(RateLimited):
        tickets.issue(ANNA, LASTS - 1)
    tickets.issue(BERT, 0.0)
    tickets.issue(ANNA, LASTS)


def test_all_together_are_bounded() -> None:
    tickets = Tickets()
    for number in range(MOST):
        tickets.issue(Identity(str(number // MOST_EACH), frozenset()), 0.0)
    with pytest.raises(Busy):
        tickets.issue(BERT, 0.0)


def test_only_hashes_are_held() -> None:
    tickets = Tickets(random=lambda size: "r" * size)
    text = tickets.issue(ANNA, 0.0)
    assert text.encode() not in repr(vars(tickets)).encode()


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 20), st.booleans()), max_size=30))
def test_the_counts_are_those_of_the_open_ones(steps: list[tuple[str, float, bool]]) -> None:
    tickets, now, issued = Tickets(), 0.0, list[tuple[str, float]]()
    for account, pause, redeem in steps:
        now += pause
        if redeem and issued:
            text, at = issued.pop()
            if now < at + LASTS:
                tickets.redeem(text, now)
        else:
            issued.append((tickets.issue(Identity(account, frozenset()), now), now))
        tickets.expire(now)
        assert len(tickets) == sum(now < at + LASTS for _, at in issued)
        assert sum(tickets._of.values()) == len(tickets)
        assert all(tickets._of.values())

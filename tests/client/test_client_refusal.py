from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mongarsd.client import errors
from mongarsd.client.address import Address
from mongarsd.client.refusal import LONGEST_WAIT, Refused, from_object

PLACE = Address("http://pi:1", "k", None, {})


def refused(status: int = 503, **headers: str) -> Refused:
    return Refused.of(status, [(name.replace("_", "-"), value) for name, value in headers.items()], b"")


@pytest.mark.parametrize(
    ("answer", "tried", "seconds"),
    [
        (refused(Retry_After="2"), 0, 2.0),
        (refused(RETRY_AFTER="2", retry_after_ms="1500"), 1, 1.5),
        (refused(429, Retry_After="60"), 0, 60.0),
        (refused(429, Retry_After="61"), 0, None),  # who is told so long decides for himself
        (refused(), 0, 0.5),
        (refused(), 3, 4.0),
        (refused(Retry_After="soon"), 1, 1.0),
        (refused(Retry_After="-1"), 1, 1.0),
        (refused(Retry_After="²"), 1, 1.0),
        (refused(Retry_After="1", x_should_retry="false"), 0, None),
        (refused(500), 0, None),
        (refused(507), 0, None),
        (refused(404, Retry_After="1"), 0, None),
    ],
)
def test_when_to_ask_again(answer: Refused, tried: int, seconds: float | None) -> None:
    assert answer.wait(tried) == seconds


@given(
    st.integers(100, 599),
    st.dictionaries(st.sampled_from(["Retry-After", "retry-after-ms"]), st.text()),
    st.integers(0, 50),
)
def test_no_answer_makes_us_wait_long(status: int, headers: dict[str, str], tried: int) -> None:
    wait = Refused.of(status, headers.items(), b"").wait(tried)
    assert wait is None or 0.0 <= wait <= LONGEST_WAIT


@given(st.integers(400, 599), st.binary())
@example(500, b"[" * 100_000)
def test_whatever_comes_is_an_error_of_ours(status: int, data: bytes) -> None:
    assert Refused.of(status, [], data).error(PLACE, "/x").message


def test_how_long_to_wait_is_told() -> None:
    error = refused(Retry_After="7").error(PLACE, "/x")
    assert isinstance(error, errors.Busy)
    assert error.retry_after == 7.0
    assert errors.Busy("x").retry_after is None
    assert errors.Busy("x", retry_after="soon").retry_after is None


@pytest.mark.parametrize("found", [None, 3, [], {}, {"message": None}, {"code": "busy"}])
def test_what_is_no_error_object_says_nothing(found: object) -> None:
    assert from_object(found).message == ""


def test_fields_of_an_error_cannot_take_the_place_of_its_own() -> None:
    found = from_object({"message": "m", "code": "conflict", "self": 1, "info": 2, "args": 3})
    assert type(found) is errors.Conflict
    assert found.detail == {"self": 1, "info": 2, "args": 3}

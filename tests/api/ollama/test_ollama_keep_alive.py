from __future__ import annotations

import pytest
from fakes.served import Served
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.api.ollama.keep_alive import FOREVER, LONGEST, seconds
from mongarsd.ground.errors import BadRequest, Conflict

HI = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (None, None),
        (0, 0.0),
        (-1, FOREVER),
        (-0.5, FOREVER),
        (300, 300.0),
        (1e300, LONGEST),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1.5h", 5400.0),
        ("250ms", 0.25),
        ("10s", 10.0),
        ("-1m", FOREVER),
        ("-1", FOREVER),
        ("0", 0.0),
        ("60", 60.0),
    ],
)
def test_what_is_said_and_meant(said: float | str | None, meant: float | None) -> None:
    assert seconds(said) == pytest.approx(meant) if meant is not None else seconds(said) is None


@pytest.mark.parametrize("said", ["", "soon", "5 m", "m", "5d", "--1m", "1m!", "nan", "inf", "٣s", float("nan")])
def test_what_nobody_can_mean(said: str | float) -> None:
    with pytest.raises(BadRequest, match="keep_alive"):
        seconds(said)


@given(st.text(max_size=12) | st.floats())
def test_any_value_has_a_meaning_within_bounds_or_is_refused(said: str | float) -> None:
    try:
        meant = seconds(said)
    except BadRequest:
        return
    assert meant is not None
    assert meant == FOREVER or 0 <= meant <= LONGEST


async def test_it_counts_from_the_end_of_the_request(served: Served) -> None:
    body = {"model": "tiny", "messages": HI, "keep_alive": -1}
    async with served.client.post(served.url + "/api/chat", json=body) as response:
        await response.read()
    body = {"model": "tiny", "prompt": "Hi", "keep_alive": "5m", "stream": False}
    await served.json("POST", "/api/generate", json=body)
    assert served.models.calls == [("keep_alive", "tiny", "-1"), ("keep_alive", "tiny", "300")]


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
async def test_nothing_to_say_loads_the_model(served: Served, path: str) -> None:
    loaded = await served.json("POST", path, json={"model": "tiny", "keep_alive": "1m"})
    assert (loaded["done"], loaded["done_reason"]) == (True, "load")
    assert served.models.calls == [("load", "tiny"), ("keep_alive", "tiny", "60")]


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
async def test_nothing_to_say_and_no_time_unloads_it(served: Served, path: str) -> None:
    gone = await served.json("POST", path, json={"model": "tiny", "keep_alive": 0})
    assert gone["done_reason"] == "unload"
    assert served.models.calls == [("keep_alive", "tiny", "0"), ("unload", "tiny")]


async def test_a_busy_model_goes_with_its_last_answer(served: Served) -> None:
    served.models.fail = Conflict("It is still answering.")
    gone = await served.json("POST", "/api/generate", json={"model": "tiny", "keep_alive": 0})
    assert gone["done_reason"] == "unload"
    assert ("keep_alive", "tiny", "0") in served.models.calls

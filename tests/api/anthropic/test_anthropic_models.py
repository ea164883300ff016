"""The models that the real anthropic library is told of, and pages of any list."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import anthropic
import pytest
from fakes.models import TINY
from fakes.served import Served, serve
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from mongarsd.api.anthropic.answers import ModelInfo
from mongarsd.api.anthropic.models import page
from mongarsd.ground.errors import BadRequest

VERSION = {"anthropic-version": "2023-06-01"}


def client(served: Served, api_key: str = "none") -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=served.url, api_key=api_key, max_retries=0)


@pytest.fixture
async def several() -> AsyncIterator[Served]:
    """m5, the newest, to m0; and one that answers nothing."""
    async with serve() as served:
        served.models.models = {
            f"m{i}": structs.replace(TINY, name=f"m{i}", modified=1_700_000_000.0 + i) for i in range(6)
        }
        served.models.models["vectors"] = structs.replace(TINY, name="vectors", kind="embedding")
        yield served


async def test_every_model_page_by_page(several: Served) -> None:
    async with client(several) as api:
        for limit in (1, 2, 6, 7, 1000):
            assert [model.id async for model in api.models.list(limit=limit)] == [f"m{i}" for i in (5, 4, 3, 2, 1, 0)]
        assert [model.id async for model in api.models.list(limit=2, after_id="m2")] == ["m1", "m0"]
        before = await api.models.list(limit=2, before_id="m1")
        assert ([model.id for model in before.data], before.has_more) == (["m3", "m2"], True)
        assert (before.first_id, before.last_id) == ("m3", "m2")
        assert before.has_next_page()
        further = await before.get_next_page()
        assert ([model.id for model in further.data], further.has_more) == (["m5", "m4"], False)


async def test_one_model(several: Served) -> None:
    async with client(several) as api:
        model = await api.models.retrieve("m3")
        assert (model.id, model.type, model.display_name) == ("m3", "model", "m3")
        assert model.created_at == datetime.fromtimestamp(1_700_000_003, UTC)
        assert (model.max_input_tokens, model.lifecycle) == (2048, "active")
        for name in ("nobody", "vectors"):
            with pytest.raises(anthropic.NotFoundError) as raised:
                await api.models.retrieve(name)
            assert raised.value.type == "not_found_error"


async def test_no_model_at_all(served: Served) -> None:
    served.models.models = {}
    said = await served.json("GET", "/v1/models", headers=VERSION)
    assert said == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("limit=%C2%B2", "limit"),
        ("after_id=nobody", "after_id"),
        ("before_id=nobody", "before_id"),
        ("after_id=tiny&before_id=tiny", "before_id"),
    ],
)
async def test_what_no_page_is(served: Served, query: str, param: str) -> None:
    said = await served.json("GET", f"/v1/models?{query}", 400, headers=VERSION)
    assert (said["type"], said["error"]["type"], said["error"]["param"]) == ("error", "invalid_request_error", param)


async def test_openai_clients_are_answered_as_before(served: Served) -> None:
    assert (await served.json("GET", "/v1/models"))["object"] == "list"
    assert (await served.json("GET", "/v1/models/nobody", 404))["error"]["type"] == "invalid_request_error"


async def test_errors_speak_to_the_client_and_to_ollamas_in_theirs(served: Served) -> None:
    assert (await served.json("GET", "/v1/nothing", 404, headers=VERSION))["error"]["type"] == "not_found_error"
    assert isinstance((await served.json("GET", "/api/nothing", 404, headers=VERSION))["error"], str)
    hashes = (f"sha256:{hashlib.sha256(b'secret').hexdigest()}",)
    async with serve(key_hashes=hashes) as guarded, client(guarded, "wrong") as api:
        with pytest.raises(anthropic.AuthenticationError) as raised:
            await api.models.list()
        assert raised.value.type == "authentication_error"


NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)


@given(NAMES, st.integers(1, 9))
def test_pages_in_both_directions_are_the_whole_list(names: list[str], limit: int) -> None:
    known = [
        ModelInfo(id=name, display_name=name, created_at="", max_input_tokens=None, max_tokens=None) for name in names
    ]
    found, more = page(known, "", "", limit)
    while more:
        further, more = page(known, found[-1].id, "", limit)
        assert further
        found += further
    assert found == known
    if not known:
        return
    back, more = page(known, "", known[-1].id, limit)
    while more:
        earlier, more = page(known, "", back[0].id, limit)
        assert earlier
        back = earlier + back
    assert back == known[:-1]


def test_two_directions_at_once() -> None:
    with pytest.raises(BadRequest, match="only one"):
        page([], "a", "b", 1)

from __future__ import annotations

import json
import logging

import pytest
from aiohttp import web
from fakes.executor import FakeExecutor
from fakes.served import serve

from mongarsd.api.errors import _STATUS, answer
from mongarsd.ground import errors
from mongarsd.ground.errors import _BY_CODE


@pytest.mark.parametrize("kind", _BY_CODE.values())
def test_every_class_has_a_status_and_an_error_object(kind: type[errors.MongarsError]) -> None:
    made = answer(kind("what happened", param="field"))
    assert 400 <= made.status < 600
    error = json.loads(made.body)["error"]
    assert error["message"] == "what happened"
    assert error["param"] == "field"
    assert error["code"] == kind.code
    assert error["type"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.ContextOverflow("long", prompt=9, limit=8), 400),
        (errors.Unauthorized("no"), 401),
        (errors.ModelNotFound("no"), 404),
        (errors.TooLarge("no"), 413),
        (errors.Loading("wait"), 503),
        (errors.DoesNotFit("no", need=2, have=1), 507),
    ],
)
def test_status(error: errors.MongarsError, status: int) -> None:
    assert answer(error).status == status


def test_busy_says_when_to_come_back() -> None:
    made = answer(errors.Busy("full", retry_after=2.5, position=3, estimate=12.0))
    assert made.headers["Retry-After"] == "3"
    assert made.headers["retry-after-ms"] == "2500"
    assert "x-should-retry" not in made.headers
    assert made.error["position"] == 3
    assert made.error["estimate"] == 12.0
    assert made.error["state"] == "busy"
    assert answer(errors.Loading("wait")).error["state"] == "loading"


def test_a_detail_never_hides_the_message() -> None:
    assert answer(errors.MongarsError("right", type="wrong")).error["type"] == "server_error"


@pytest.mark.parametrize("kind", [errors.WorkerCrashed, errors.DoesNotFit, errors.DiskFull])
def test_no_retry_where_it_is_useless(kind: type[errors.MongarsError]) -> None:
    assert answer(kind("no")).headers["x-should-retry"] == "false"


def test_unauthorized_names_the_scheme() -> None:
    assert answer(errors.Unauthorized("no")).headers["WWW-Authenticate"].startswith("Bearer")


def test_an_exception_of_aiohttp_becomes_an_error_object() -> None:
    made = answer(web.HTTPMethodNotAllowed("PUT", ["GET"]))
    assert (made.status, made.headers["Allow"], made.error["code"]) == (405, "GET", "method_not_allowed")


def test_a_detail_that_json_does_not_know_is_told_as_text() -> None:
    assert b"PosixPath" not in answer(errors.DiskFull("no", where=object())).body


async def test_an_unexpected_exception_gives_an_id_and_no_details(caplog: pytest.LogCaptureFixture) -> None:
    async with serve() as served:

        def broken(name: str) -> None:
            raise KeyError("secret")

        served.models.get = broken  # type: ignore[assignment,method-assign]
        with caplog.at_level(logging.ERROR):
            body = await served.chat(500)
    error = body["error"]
    assert "secret" not in json.dumps(body)
    assert error["id"] in error["message"]
    assert error["id"] in caplog.text
    assert "secret" in caplog.text


async def test_a_refused_job_is_an_http_error_also_when_streaming() -> None:
    async with serve(FakeExecutor(refuse=errors.Busy("full", retry_after=1.5))) as served:
        for stream in (False, True):
            body = {"messages": [{"role": "user", "content": "x"}], "stream": stream}
            async with served.client.post(served.url + "/v1/chat/completions", json=body) as response:
                assert response.status == 503
                assert response.headers["retry-after-ms"] == "1500"
                assert (await response.json())["error"]["code"] == "busy"


def test_the_table_knows_only_our_classes() -> None:
    assert all(issubclass(kind, errors.MongarsError) for kind in _STATUS)

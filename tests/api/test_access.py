from __future__ import annotations

import asyncio
import logging

import pytest
from fakes.executor import FakeExecutor
from fakes.pool import until
from fakes.served import Served, serve

LOG = "mongarsd.api.access"


async def test_a_line_without_query_body_or_key(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOG):
        headers = {"Authorization": "Bearer mg-topsecret"}
        body = {"prompt": "my prompt", "stream": True}
        path = "/v1/completions?key=hidden"
        async with served.client.post(served.url + path, json=body, headers=headers) as response:
            size = len(await response.read())
    (line,) = [record.getMessage() for record in caplog.records if record.name == LOG]
    assert line.startswith("POST /v1/completions 200 ")
    assert line.endswith(" B 127.0.0.1")
    assert int(line.split()[-3]) >= size
    assert not {"hidden", "topsecret", "prompt"} & set(line.replace("=", " ").split())


async def test_a_client_that_left_is_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    executor = FakeExecutor(hold="queue")
    async with serve(executor) as served:
        with caplog.at_level(logging.INFO, LOG):
            waiting = asyncio.create_task(served.chat())
            await until(lambda: executor.running > 0)
            waiting.cancel()
            await until(lambda: bool(caplog.records))
    assert " 499 " in caplog.text
    assert " B 127.0.0.1" in caplog.text


async def test_a_refusal_is_logged_with_its_status(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOG):
        await served.json("GET", "/v1/models", 421, headers={"Host": "evil.example"})
    assert "GET /v1/models 421" in caplog.text

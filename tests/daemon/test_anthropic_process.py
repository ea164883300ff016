"""The Messages API through the real daemon, its pool and a worker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from fakes.daemon_process import MODEL, DaemonProcess, running

ASK: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "count me"}], "system": "Be brief."}

COMPUTED = re.compile(r"^mongarsd_prompt_tokens_total(\{.*\})? [1-9]", re.MULTILINE)


@pytest.fixture(scope="module")
def daemon() -> Iterator[DaemonProcess]:
    with running(state="state") as daemon:
        yield daemon


@pytest.fixture
def client(daemon: DaemonProcess) -> Iterator[anthropic.Anthropic]:
    host, port = daemon.ports[0]
    with anthropic.Anthropic(base_url=f"http://{host}:{port}", api_key="none", max_retries=0) as client:
        yield client


def test_the_count_is_the_prompts(daemon: DaemonProcess, client: anthropic.Anthropic) -> None:
    counted = client.messages.count_tokens(**ASK).input_tokens
    assert not COMPUTED.search(daemon.text("/metrics"))
    used = client.messages.create(**ASK, max_tokens=4).usage
    assert used.input_tokens + (used.cache_read_input_tokens or 0) == counted
    assert COMPUTED.search(daemon.text("/metrics"))
    again = client.messages.create(**ASK, max_tokens=4).usage
    assert again.cache_read_input_tokens
    assert again.input_tokens + again.cache_read_input_tokens == counted


def test_a_stream(client: anthropic.Anthropic) -> None:
    with client.messages.stream(**ASK, max_tokens=5, extra_body={"seed": 3, "ignore_eos": True}) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    plain = client.messages.create(**ASK, max_tokens=5, extra_body={"seed": 3, "ignore_eos": True})
    assert [block.to_dict() for block in plain.content] == [{"type": "text", "text": text}]
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 5)


def test_what_does_not_fit(client: anthropic.Anthropic) -> None:
    long: Any = [{"role": "user", "content": "a" * 200_000}]
    with pytest.raises(anthropic.BadRequestError) as raised:
        client.messages.create(model=MODEL, messages=long, max_tokens=4)
    assert raised.value.type == "invalid_request_error"

"""LoRA adapters on the real default model, through the real daemon and the openai library."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from fakes.daemon_process import MODEL, DaemonProcess
from fakes.tiny_lora import write_lora

from mongarsd.ctl.client import Client, model_path
from mongarsd.ground.status import PullProgress

POET = f"{MODEL}:poet"
CLERK = f"{MODEL}:clerk"


@pytest.fixture(scope="module")
def adapted(
    daemon: DaemonProcess, default_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DaemonProcess]:
    """The daemon with two random adapters, small enough that the model still speaks."""
    folder = tmp_path_factory.mktemp("adapters")
    client = Client([daemon.control])
    for seed, name in enumerate((POET, CLERK)):
        path = write_lora(folder / f"{seed}.gguf", default_model, seed=seed, size=0.3)
        last = list(client.lines("POST", "/admin/models/pull", PullProgress, {"ref": f"file:{path}", "name": name}))[-1]
        assert last.status == "success", last.error
    yield daemon
    for name in (POET, CLERK):
        client.send("DELETE", model_path(name), Any)


async def say(url: str, model: str, text: str, **more: Any) -> str:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as sdk:
        ask: list[Any] = [{"role": "user", "content": text}]
        answer = await sdk.chat.completions.create(
            model=model, messages=ask, temperature=0, max_tokens=24, extra_body={"cache_prompt": False}, **more
        )
        return answer.choices[0].message.content or ""


async def test_mixed_streams_say_what_each_says_alone(adapted: DaemonProcess, url: str) -> None:
    asks = [(model, f"Tell me of the number {n}.") for n, model in enumerate((MODEL, POET, CLERK, POET) * 2)]
    alone = [await say(url, *ask) for ask in asks]
    assert await asyncio.gather(*(say(url, *ask) for ask in asks)) == alone
    assert len({await say(url, model, "Tell me of rain.") for model in (MODEL, POET, CLERK)}) == 3
    loaded = [model["name"] for model in adapted.admin("/admin/models") if model["pid"]]
    assert loaded == [MODEL]


async def test_an_adapted_answer_survives_the_death_of_its_worker(adapted: DaemonProcess, url: str) -> None:
    """Alone. Beside others of its adapter a near tie may fall the other way: see `portions`."""
    whole = await say(url, POET, "Tell me of the sea.")
    text, killed = "", False
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as sdk:
        stream = await sdk.chat.completions.create(
            model=POET,
            messages=[{"role": "user", "content": "Tell me of the sea."}],
            temperature=0,
            max_tokens=24,
            stream=True,
            extra_body={"cache_prompt": False},
        )
        async for chunk in stream:
            text += chunk.choices[0].delta.content or ""
            if len(text) > 10 and not killed:
                killed = True
                (pid,) = [model["pid"] for model in adapted.admin("/admin/models") if model["pid"]]
                os.kill(pid, signal.SIGKILL)
    assert killed
    assert text == whole

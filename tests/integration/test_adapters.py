"""LoRA adapters on the real default model, through the real daemon and the openai library."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from fakes.daemon_process import MODEL, DaemonProcess
from fakes.tiny_lora import write_lora

from mongarsd.client import Client
from mongarsd.inference.engine.base import Row
from mongarsd.inference.llama.backend import LlamaBackend
from mongarsd.inference.worker.protocol import AdapterPlan, Load

POET = f"{MODEL}:poet"
CLERK = f"{MODEL}:clerk"


@pytest.fixture(scope="module")
def adapted(
    daemon: DaemonProcess, default_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DaemonProcess]:
    """The daemon with two random adapters, small enough that the model still speaks."""
    folder = tmp_path_factory.mktemp("adapters")
    client = Client(socket=daemon.control)
    for seed, name in enumerate((POET, CLERK)):
        path = write_lora(folder / f"{seed}.gguf", default_model, seed=seed, size=0.3)
        last = list(client.pull(f"file:{path}", name=name))[-1]
        assert last.status == "success", last.error
    yield daemon
    for name in (POET, CLERK):
        client.remove(name)


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


async def told(sdk: openai.AsyncOpenAI, ask: str, texts: dict[str, str]) -> None:
    """Streams the answer into `texts`."""
    stream = await sdk.chat.completions.create(
        model=POET,
        messages=[{"role": "user", "content": ask}],
        temperature=0,
        max_tokens=160,
        stream=True,
        extra_body={"cache_prompt": False, "ignore_eos": True},
    )
    async for chunk in stream:
        texts[ask] += chunk.choices[0].delta.content or ""


async def test_three_answers_of_one_adapter_survive_the_deaths_of_their_worker(
    adapted: DaemonProcess, url: str
) -> None:
    asks = [f"Tell me of the {thing}." for thing in ("sea", "mountains", "cities")]
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as sdk:
        alone = dict.fromkeys(asks, "")
        for ask in asks:
            await told(sdk, ask, alone)
        texts = dict.fromkeys(asks, "")
        running = asyncio.gather(*(told(sdk, ask, texts) for ask in asks))
        for _ in range(10_000):
            if all(len(text) > 30 for text in texts.values()):
                break
            await asyncio.sleep(0.005)
        assert not running.done()
        (pid,) = [model["pid"] for model in adapted.admin("/admin/models") if model["pid"]]
        os.kill(pid, signal.SIGKILL)
        await running
    assert texts == alone


def test_a_token_has_the_same_logits_alone_and_beside_seven_others(tmp_path: Path, default_model: Path) -> None:
    adapter = "sha256:" + "a" * 64
    write_lora(tmp_path / adapter.replace(":", "-"), default_model)
    load = Load(
        model="",
        path=str(default_model),
        node="test",
        slots=8,
        context=256,
        decode_threads=1,
        prefill_threads=1,
        queue=1,
        max_gap=1.0,
        adapters=AdapterPlan(directory=str(tmp_path), bytes=1 << 30),
    )
    with contextlib.closing(LlamaBackend(load)) as backend:
        assert backend.adapt(adapter, ())

        def logits(rows: list[Row]) -> list[Any]:
            backend.decode(rows)
            lib, handle = backend._context._lib, backend._context.handle
            found = [lib.llama_get_logits_ith(handle, backend._context.output(n)) for n in range(len(rows))]
            size = backend.info.vocabulary
            return [np.ctypeslib.as_array(pointer, (size,)).tobytes() for pointer in found]

        def rows(count: int) -> list[Row]:
            for slot in range(8):
                backend.trim(slot, 0)
            return [Row(slot, 0, [1000 + slot], 1, adapter) for slot in range(count)]

        alone = [logits([row])[0] for row in rows(8)]
        for count in range(2, 9):
            assert logits(rows(count)) == alone[:count]

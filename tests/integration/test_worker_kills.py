"""`kill -9` of the worker at random moments under eight streams: every answer is complete, and as if undisturbed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from pathlib import Path

import aiohttp
import pytest
from fakes.daemon_process import MODEL, DaemonProcess

from .conftest import real_daemon

KILLS = 50
STREAMS = 8
TOKENS = 60
PROMPTS = [f"Write a short story about the number {i} and the sea." for i in range(STREAMS)]


async def stream(session: aiohttp.ClientSession, url: str, prompt: str) -> str:
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": prompt}],
        "temperature": 0,
        "max_tokens": TOKENS,
        "ignore_eos": True,
        "stream": True,
    }
    text = ""
    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
        assert response.status == 200, await response.text()
        async for line in response.content:
            if line.startswith(b"data: {"):
                chunk = json.loads(line[6:])
                assert "error" not in chunk, chunk
                text += "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])
    return text


def worker_pid(daemon: DaemonProcess) -> int | None:
    (model,) = [m for m in daemon.admin("/admin/status")["models"] if m["name"] == MODEL]
    return model["pid"] if model["state"] == "ready" else None


async def undisturbed_and_disturbed(daemon: DaemonProcess) -> tuple[list[str], list[list[str]], int]:
    host, port = daemon.ports[0]
    url = f"http://{host}:{port}"
    chance = random.Random(1)
    kills = 0
    rounds: list[list[str]] = []
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=300)) as session:

        async def all_of_them() -> list[str]:
            return list(await asyncio.gather(*(stream(session, url, prompt) for prompt in PROMPTS)))

        calm = await all_of_them()
        while kills < KILLS and len(rounds) < 4 * KILLS:
            work = asyncio.create_task(all_of_them())
            await asyncio.sleep(chance.uniform(0.0, 1.5))
            pid = await asyncio.to_thread(worker_pid, daemon)
            if pid is not None and not work.done():
                os.kill(pid, signal.SIGKILL)
                kills += 1
            rounds.append(await work)
    return calm, rounds, kills


@pytest.mark.timeout(900)  # about 3 s a kill on two quiet cores: the model is loaded anew each time
def test_fifty_kills_cost_no_answer_and_change_no_word(default_model: Path) -> None:
    with real_daemon(default_model) as daemon:
        calm, rounds, kills = asyncio.run(undisturbed_and_disturbed(daemon))
    assert kills == KILLS
    assert all(calm)
    different = [
        (prompt, a, b) for answers in rounds for prompt, a, b in zip(PROMPTS, calm, answers, strict=True) if a != b
    ]
    assert not different

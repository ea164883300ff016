"""Throughput of 1, 4 and 8 streams, and how long running streams pause when a long prompt arrives."""

from __future__ import annotations

import asyncio
import time

import aiohttp

from benchmarks.client import REQUEST_TIMEOUT, ask, together
from benchmarks.prompts import prompt
from benchmarks.servers import Server

SHORT = 20  # words
LONG = 1460  # words: about 1,500 tokens
TOKENS = 128


async def throughput(server: Server, streams: int) -> float:
    """Tokens a second over all streams, prefill of the short prompts included."""
    prompts = [prompt(SHORT) for _ in range(streams)]
    begin = time.monotonic()
    answers = await together(server, prompts, TOKENS)
    return sum(answer.tokens for answer in answers) / (time.monotonic() - begin)


async def arrival(server: Server, streams: int = 4) -> tuple[float, float]:
    """(longest gap of the running streams, time to the newcomer's first token), seconds."""
    async with aiohttp.ClientSession(timeout=REQUEST_TIMEOUT) as session:
        running = [asyncio.create_task(ask(session, server, prompt(SHORT), 400)) for _ in range(streams)]
        await asyncio.sleep(1.0)
        newcomer = await ask(session, server, prompt(LONG), 8)
        answers = await asyncio.gather(*running)
    end = newcomer.begin + newcomer.first
    gaps = [
        b - a
        for answer in answers
        for a, b in zip(answer.pieces, answer.pieces[1:], strict=False)
        if newcomer.begin <= b and a <= end
    ]
    return max(gaps), newcomer.first


async def alone(server: Server) -> float:
    """Time to the first token of a long prompt with nothing else running, seconds."""
    (answer,) = await together(server, [prompt(LONG)], 4)
    return answer.first

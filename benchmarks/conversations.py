"""Many conversations over few slots: how long the first token takes when a person comes back to one of them."""

from __future__ import annotations

import statistics

import aiohttp

from benchmarks.client import REQUEST_TIMEOUT, ask
from benchmarks.prompts import prompt
from benchmarks.servers import Server

WORDS = 150  # of the first message; about 200 tokens
ANSWER = 32  # tokens


async def turns(server: Server, conversations: int = 24, rounds: int = 4) -> float:
    """Median seconds to the first token from the second turn on; the conversations take turns, one at a time."""
    histories = [prompt(WORDS) for _ in range(conversations)]
    firsts: list[float] = []
    connector = aiohttp.TCPConnector(force_close=True)  # llama-server drops a connection that it kept
    async with aiohttp.ClientSession(timeout=REQUEST_TIMEOUT, connector=connector) as session:
        for turn in range(rounds):
            for history in histories:
                answer = await ask(session, server, history, ANSWER)
                if turn:
                    firsts.append(answer.first)
                history.append({"role": "assistant", "content": answer.text})
                history.append({"role": "user", "content": f"Go on with part {turn + 2}, please."})
    return statistics.median(firsts)

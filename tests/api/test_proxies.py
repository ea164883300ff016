"""Clients behind a proxy: told apart where it is trusted, and never taken for this machine."""

from __future__ import annotations

import asyncio
import logging

import pytest
from fakes.served import Served, fake_parts, serve

from mongarsd.api.connection import trusts
from mongarsd.api.proxies import named
from mongarsd.ground.clock import FakeClock
from mongarsd.memory.room import Memory

PROXY = "127.0.0.1"


@pytest.mark.parametrize(
    ("peer", "headers", "trusted", "client"),
    [
        ("192.0.2.7", ["10.0.0.1"], [PROXY], "192.0.2.7"),  # anybody may write the header
        (PROXY, [], [PROXY], PROXY),
        (PROXY, ["10.0.0.1"], [], PROXY),
        (PROXY, ["10.0.0.1"], [PROXY], "10.0.0.1"),
        (PROXY, ["6.6.6.6, 10.0.0.1"], [PROXY], "10.0.0.1"),  # the first was there before it
        (PROXY, ["6.6.6.6", "10.0.0.1"], [PROXY], "10.0.0.1"),
        (PROXY, ["10.0.0.1, 172.17.0.2"], [PROXY, "172.17.0.0/16"], "10.0.0.1"),
        (PROXY, ["10.0.0.1, unknown"], [PROXY], PROXY),
        (PROXY, [""], [PROXY], PROXY),
        ("::ffff:127.0.0.1", ["2001:db8::1"], [PROXY], "2001:db8::1"),
        ("", ["10.0.0.1"], [PROXY], ""),  # the control socket
    ],
)
def test_the_address_that_counts(peer: str, headers: list[str], trusted: list[str], client: str) -> None:
    assert named(peer, headers, trusted) == client


def test_networks_of_both_kinds() -> None:
    assert trusts(["fd00::/8"], "fd00::5")
    assert trusts(["fe80::/10"], "fe80::1%eth0")
    assert not trusts(["10.0.0.0/8"], "fd00::5")


async def test_who_guesses_passwords_makes_nobody_else_wait(memory: Memory, caplog: pytest.LogCaptureFixture) -> None:
    await memory.access.add_user("ana", "correct horse", account="a")
    caplog.set_level(logging.INFO)

    async def log_in(served: Served, status: int, client: str, user: str, password: str) -> None:
        body, headers = {"username": user, "password": password}, {"X-Forwarded-For": client}
        await served.json("POST", "/v1/token", status, json=body, headers=headers)

    parts = fake_parts(memory=memory, trusted_proxies=(PROXY,))
    parts.clock = FakeClock()
    async with serve(parts=parts) as served:
        for number in range(3):
            await log_in(served, 401, "10.0.0.66", f"user{number}", "a guess, and wrong")
        await log_in(served, 429, "10.0.0.66", "ana", "correct horse")
        await log_in(served, 200, "10.0.0.7", "ana", "correct horse")
    assert "10.0.0.66" in caplog.text


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
async def test_without_a_key_only_this_machine_is_answered(memory: Memory, header: str) -> None:
    async with serve(parts=fake_parts(memory=memory)) as served:
        refused = await served.json("GET", "/v1/models", 401, headers={header: "10.0.0.7"})
        assert "mongarsctl setup" in refused["error"]["message"]
        await served.json("GET", "/v1/models")
        made = await memory.access.create_key("k", account="a")
        await served.json("GET", "/v1/models", headers={header: "10.0.0.7", "X-API-Key": made.text})


@pytest.mark.parametrize(("trusted", "status"), [((PROXY,), 200), ((), 503)])
async def test_a_trusted_proxy_may_have_more_connections_than_a_client(trusted: tuple[str, ...], status: int) -> None:
    async with serve(max_connections_per_client=1, trusted_proxies=trusted) as served:
        _, first = await asyncio.open_connection(*served.address)
        reader, writer = await asyncio.open_connection(*served.address)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert f" {status} ".encode() in await reader.readline()
        for each in (first, writer):
            each.close()
            await each.wait_closed()

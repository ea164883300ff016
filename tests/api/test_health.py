from __future__ import annotations

from fakes.served import Served, serve


async def test_alive(served: Served) -> None:
    assert await served.json("GET", "/healthz") == {"status": "ok"}
    async with served.client.head(served.url + "/healthz") as response:
        assert response.status == 200


async def test_ready(served: Served) -> None:
    served.parts.checks = {"model": lambda: ""}
    assert await served.json("GET", "/readyz") == {"status": "ready", "checks": {"model": "ok"}}


async def test_not_ready_says_why() -> None:
    async with serve() as served:
        served.parts.checks = {"model": lambda: "it is being downloaded", "database": lambda: ""}
        body = await served.json("GET", "/readyz", 503)
    assert body == {"status": "not ready", "checks": {"model": "it is being downloaded", "database": "ok"}}

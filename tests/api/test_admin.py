from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
from fakes.models import TINY
from fakes.served import Served, fake_parts, serve

from mongarsd.api.admin import without_secrets
from mongarsd.api.app import ADMIN, make_admin_app
from mongarsd.api.front import Front
from mongarsd.ground.errors import DiskFull
from mongarsd.ground.settings import ServerSettings, Settings
from mongarsd.ground.status import AvailableModel, ModelStatus, NodeStatus


@pytest.fixture
async def control() -> AsyncIterator[Served]:
    async with serve(make=make_admin_app) as running:
        yield running


async def test_status(control: Served) -> None:
    assert msgspec.convert(await control.json("GET", "/admin/status"), NodeStatus).models == (TINY,)


async def test_models(control: Served) -> None:
    assert msgspec.convert(await control.json("GET", "/admin/models"), list[ModelStatus]) == [TINY]
    assert msgspec.convert(await control.json("GET", "/admin/models/tiny"), ModelStatus) == TINY
    assert (await control.json("GET", "/admin/models/nope", 404))["error"]["code"] == "model_not_found"


async def test_what_could_be_pulled(control: Served) -> None:
    (entry,) = msgspec.convert(await control.json("GET", "/admin/catalogue"), list[AvailableModel])
    assert (entry.name, entry.installed) == ("tiny", True)


async def test_the_prefix_cache_is_shown_and_cleared(control: Served) -> None:
    assert (await control.json("GET", "/admin/cache"))["tiers"][0]["bytes"] == 5
    assert (await control.json("DELETE", "/admin/cache"))["tiers"][0]["bytes"] == 0


async def test_load_and_unload(control: Served) -> None:
    for verb in ("load", "unload"):
        assert (await control.json("POST", f"/admin/models/tiny/{verb}"))["name"] == "tiny"
        await control.json("POST", f"/admin/models/nope/{verb}", 404)
    assert control.models.calls == [("load", "tiny"), ("unload", "tiny")]


async def test_remove(control: Served) -> None:
    async with control.client.delete(control.url + "/admin/models/tiny") as response:
        assert response.status == 204
    await control.json("DELETE", "/admin/models/tiny", 404)


async def pull(control: Served) -> list[dict[str, object]]:
    async with control.client.post(control.url + "/admin/models/pull", json={"ref": "r", "name": "n"}) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/x-ndjson"
        return [json.loads(line) for line in (await response.read()).splitlines()]


async def test_pull(control: Served) -> None:
    assert [line["status"] for line in await pull(control)] == ["pulling", "success"]
    assert control.models.calls == [("pull", "r", "n")]


async def test_a_pull_that_fails_half_way_says_so_in_the_last_line(control: Served) -> None:
    control.models.fail = DiskFull("the disk is full")
    assert (await pull(control))[-1] == {"status": "error", "error": "the disk is full"}


async def test_a_pull_that_fails_at_once_has_its_status(control: Served) -> None:
    control.models.steps = []
    control.models.fail = DiskFull("the disk is full", need=2, have=1)
    error = (await control.json("POST", "/admin/models/pull", 507, json={"ref": "r"}))["error"]
    assert (error["code"], error["need"]) == ("disk_full", 2)


@pytest.mark.parametrize(("body", "param"), [({}, "ref"), ({"ref": ""}, "ref"), ({"ref": "r", "name": 1}, "name")])
async def test_a_bad_pull_names_the_field(control: Served, body: object, param: str) -> None:
    assert (await control.json("POST", "/admin/models/pull", 400, json=body))["error"]["param"] == param


def test_config_hides_secrets() -> None:
    settings = Settings(server=ServerSettings(key_hashes=("sha256:" + "ab" * 32,)))
    shown = without_secrets(settings)
    assert shown["server"]["key_hashes"] == ["sha256:abababab…"]
    assert shown["inference"]["max_tokens"] == settings.inference.max_tokens


async def test_config(control: Served) -> None:
    assert (await control.json("GET", "/admin/config"))["models"]["default"] == "tiny"


async def test_the_public_port_administrates_for_nobody_without_a_key(served: Served) -> None:
    for route in ADMIN:
        path = re.sub(r"\{\w+\}", "tiny", route.path)
        body = None if route.method == "GET" else {}
        assert (await served.json(route.method, path, 401, json=body))["error"]["code"] == "invalid_api_key"
    assert not served.models.calls


async def test_over_a_unix_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # an address may have 107 bytes, and a folder for tests more
    listening = socket.socket(socket.AF_UNIX)
    listening.bind("s")
    listening.listen()
    front = Front(make_admin_app(fake_parts()), "control")
    await front.start([listening])
    try:
        connector = aiohttp.UnixConnector("s")
        async with aiohttp.ClientSession("http://control", connector=connector) as client:
            async with client.get("/admin/status") as response:
                assert response.status == 200
            async with client.post("/v1/completions", json={"prompt": "x"}) as response:
                assert response.status == 200
    finally:
        await front.close()
        await front.close()
        await asyncio.sleep(0)

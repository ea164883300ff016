from __future__ import annotations

import hashlib

import pytest
from fakes.served import Served, serve
from yarl import URL

from mongarsd.api.app import make_admin_app
from mongarsd.api.credentials import FINGERPRINT, match


def hashed(key: str) -> str:
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def test_match() -> None:
    hashes = (hashed("one"), hashed("two"))
    assert match("one", hashes) != match("two", hashes) != ""
    assert len(match("one", hashes)) == FINGERPRINT
    assert match("three", hashes) == ""
    assert match("", hashes) == ""
    assert match("\udcff", hashes) == ""


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Bearer key"}, {"authorization": "bearer  key "}, {"x-api-key": "key"}]
)
async def test_a_key_opens(headers: dict[str, str]) -> None:
    async with serve(key_hashes=(hashed("key"),)) as served:
        await served.json("GET", "/v1/models", headers=headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic key"},
        {"Authorization": "key"},
        {"X-API-Key": "wrong"},
        {"Authorization": "Bearer key", "X-API-Key": "wrong"},
        {"Authorization": "Bearer wrong", "X-API-Key": "key"},
    ],
)
@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/openapi.json", "/nowhere", "/health%7A", "//healthz"])
async def test_without_it_nothing_opens(headers: dict[str, str], path: str) -> None:
    async with (
        serve(key_hashes=(hashed("key"),)) as served,
        served.client.get(URL(served.url + path, encoded=True), headers=headers) as response,
    ):
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert (await response.json())["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/healthz?x=1"])
async def test_what_needs_no_key(path: str) -> None:
    async with serve(key_hashes=(hashed("key"),)) as served, served.client.get(served.url + path) as response:
        assert response.status == 200


async def test_the_key_names_the_account() -> None:
    async with serve(key_hashes=(hashed("one"), hashed("two"))) as served:
        for key in ("one", "two"):
            headers = {"Authorization": f"Bearer {key}"}
            await served.json("POST", "/v1/completions", json={"prompt": "x"}, headers=headers)
        first, second = served.executor.jobs
        assert first.account == hashed("one")[7 : 7 + FINGERPRINT]
        assert first.account != second.account


async def test_without_keys_everything_is_open(served: Served) -> None:
    await served.json("GET", "/v1/models", headers={"Authorization": "Bearer whatever"})


async def test_a_reload_changes_the_keys(served: Served) -> None:
    await served.json("GET", "/v1/models")
    async with serve(key_hashes=(hashed("key"),)) as other:
        served.parts.settings = other.parts.settings
    await served.json("GET", "/v1/models", 401)


async def test_the_control_socket_needs_none() -> None:
    async with serve(make=make_admin_app, key_hashes=(hashed("key"),)) as served:
        await served.json("GET", "/admin/status")
        await served.chat()

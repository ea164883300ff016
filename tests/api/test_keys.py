"""Keys and users of the database, over HTTP: what opens what, and what is told of it."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fakes.served import Served, fake_parts, serve

from mongarsd.api.app import ADMIN, PUBLIC, make_admin_app
from mongarsd.ground.clock import FakeClock
from mongarsd.memory.access.types import Scope
from mongarsd.memory.room import Memory

STATIC = "sha256:2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"  # of "key"


@pytest.fixture
async def served(memory: Memory) -> AsyncIterator[Served]:
    parts = fake_parts(memory=memory)
    parts.clock = FakeClock()
    async with serve(parts=parts) as running:
        yield running


async def key(served: Served, *scopes: Scope, name: str = "k", account: str = "a", lasts: float | None = None) -> Any:
    made = await served.parts.memory.access.create_key(
        name, account=account, scopes=scopes or (Scope.CHAT,), lasts=lasts
    )
    return {"Authorization": f"Bearer {made.text}"}


async def token(served: Served, password: str = "correct horse", status: int = 200, user: str = "ana") -> Any:
    return await served.json("POST", "/v1/token", status, json={"username": user, "password": password})


async def test_the_first_key_shuts_loopback_and_the_last_opens_it(served: Served) -> None:
    await served.json("GET", "/v1/models")
    headers = await key(served)
    await served.json("GET", "/v1/models", 401)
    await served.json("GET", "/v1/models", headers=headers)
    await served.json("GET", "/v1/models", headers={"x-api-key": headers["Authorization"][7:]})
    await served.parts.memory.access.revoke("k")
    await served.json("GET", "/v1/models")


async def test_beyond_loopback_there_is_no_open_door(served: Served) -> None:
    served.parts.exposed = True
    await served.json("GET", "/v1/models", 401)


async def test_revoked_and_expired(served: Served) -> None:
    clock: FakeClock = served.parts.memory.access._clock  # type: ignore[assignment]
    await key(served, name="stays")
    gone, short = await key(served, name="gone"), await key(served, name="short", lasts=5)
    for headers in (gone, short):
        await served.json("GET", "/v1/models", headers=headers)
    await served.parts.memory.access.revoke("gone")
    clock.advance(6)
    for headers in (gone, short):
        refused = await served.json("GET", "/v1/models", 401, headers=headers)
        assert headers["Authorization"][7:] not in json.dumps(refused)


@pytest.mark.parametrize("scope", list(Scope))
async def test_each_route_wants_its_scope(served: Served, scope: Scope) -> None:
    headers = await key(served, scope)
    for route in (*PUBLIC, *ADMIN):
        if route.open or "{" in route.path or route.method != "GET":
            continue
        async with served.client.get(served.url + route.path, headers=headers) as response:
            assert (response.status == 403) == (route.scope is not scope), route.path
            if response.status == 403:
                error = (await response.json())["error"]
                assert route.scope in (error if isinstance(error, str) else error["message"])
                assert "WWW-Authenticate" not in response.headers


async def test_administration_over_the_network(served: Served) -> None:
    headers = await key(served, Scope.ADMIN, Scope.CHAT)
    made = await served.json("POST", "/admin/keys", headers=headers, json={"name": "phone", "account": "bo"})
    assert (await served.json("GET", "/v1/models", headers={"X-API-Key": made["text"]}))["data"]
    assert made["key"]["scopes"] == ["chat"]
    listed = await served.json("GET", "/admin/keys", headers=headers)
    assert {one["name"] for one in listed} == {"k", "phone"}
    assert made["text"] not in json.dumps(listed)
    await served.json("POST", "/admin/models/pull", 403, headers=headers, json={"ref": "file:/etc/passwd"})
    await served.json("DELETE", f"/admin/keys/{made['key']['id']}", headers=headers)
    await served.json("GET", "/v1/models", 401, headers={"X-API-Key": made["text"]})
    actions = await served.json("GET", "/admin/audit", headers=headers)
    assert [(one["what"], one["status"]) for one in actions] == [
        ("DELETE /admin/keys/{key}", 200),
        ("POST /admin/models/pull", 403),
        ("POST /admin/keys", 200),
    ]
    assert {one["who"] for one in actions} == {one["id"] for one in listed if one["name"] == "k"}
    assert made["key"]["id"] in actions[0]["target"]
    assert made["text"] not in json.dumps(actions)
    await served.json("GET", "/admin/audit?limit=0", 400, headers=headers)


async def test_an_administrators_key_manages_models_as_ollama_does_and_the_log_names_them(served: Served) -> None:
    """Also a key that may not chat."""
    headers = await key(served, Scope.ADMIN)
    (made,) = await served.json("GET", "/admin/keys", headers=headers)
    wanted = []
    for method, path, body, named in (
        ("POST", "/api/pull", {"model": "tiny"}, "tiny"),
        ("POST", "/api/create", {"model": "mario", "from": "tiny", "system": "You are Mario."}, "mario"),
        ("POST", "/api/copy", {"source": "tiny", "destination": "second"}, "tiny to second"),
        ("DELETE", "/api/delete", {"model": "mario"}, "mario"),
    ):
        async with served.client.request(method, served.url + path, json=body, headers=headers) as response:
            assert response.status == 200, await response.text()
        wanted.append((f"{method} {path}", named, made["id"]))
    actions = await served.json("GET", "/admin/audit", headers=headers)
    assert [(one["what"], one["target"], one["who"]) for one in reversed(actions)] == wanted


async def test_what_is_refused_is_no_action(served: Served) -> None:
    headers = await key(served)
    await served.json("DELETE", "/admin/models/tiny", 403, headers=headers)
    assert await served.parts.memory.audit.newest(10) == []


async def test_the_account_of_a_key_pays_and_static_keys_go_on(served: Served) -> None:
    headers = await key(served, account="family")
    served.parts.settings = fake_parts(key_hashes=(STATIC,)).settings
    for given in (headers, {"Authorization": "Bearer key"}):
        await served.json("POST", "/v1/completions", json={"prompt": "x"}, headers=given)
    assert [job.account for job in served.executor.jobs] == ["family", STATIC[7:23]]
    async with served.client.get(served.url + "/metrics", headers={"X-API-Key": "key"}) as response:
        assert response.status == 200
    await served.json("GET", "/admin/status", 403, headers={"X-API-Key": "key"})


async def test_keys_that_cannot_be_read_are_503(tmp_path: Path) -> None:
    (tmp_path / "keys.required").touch()
    parts = fake_parts(memory=Memory(tmp_path, FakeClock()))
    async with serve(parts=parts) as served:
        await served.json("GET", "/v1/models", 401)
        error = (await served.json("GET", "/v1/models", 503, headers={"X-API-Key": "mg-x"}))["error"]
        assert error["code"] == "storage_unavailable"


async def test_a_user_gets_a_token_and_it_dies_with_the_password(served: Served, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    access = served.parts.memory.access
    await access.add_user("ana", "correct horse", account="family")
    made = await token(served)
    headers = {"Authorization": f"Bearer {made['access_token']}"}
    assert made["expires_in"] == 3600
    await served.json("POST", "/v1/completions", json={"prompt": "x"}, headers=headers)
    assert served.executor.jobs[-1].account == "family"
    await served.json("GET", "/admin/status", 403, headers=headers)
    await served.json("GET", "/v1/models", 401, headers={"x-api-key": made["access_token"]})
    await served.json("GET", "/v1/models", 401, headers={**headers, "x-api-key": "another"})
    await access.set_password("ana", "another horse")
    await served.json("GET", "/v1/models", 401, headers=headers)
    fresh = {"Authorization": f"Bearer {(await token(served, 'another horse'))['access_token']}"}
    await served.json("GET", "/v1/models", headers=fresh)
    await access.rotate()
    await served.json("GET", "/v1/models", 401, headers=fresh)
    last = {"Authorization": f"Bearer {(await token(served, 'another horse'))['access_token']}"}
    clock: FakeClock = access._clock  # type: ignore[assignment]
    clock.advance(3600 + 6)
    await served.json("GET", "/v1/models", 401, headers=last)
    await access.remove_user("ana")
    for secret in ("correct horse", "another horse", made["access_token"]):
        assert secret not in caplog.text


async def test_wrong_passwords_wait(served: Served) -> None:
    await served.parts.memory.access.add_user("ana", "correct horse", account="family")
    for _ in range(3):
        refused = await token(served, "wrong horse", 401)
        assert refused["error"]["message"] == "the user or the password is wrong"
    async with served.client.post(
        served.url + "/v1/token", json={"username": "ana", "password": "correct horse"}
    ) as response:
        assert response.status == 429
        assert int(response.headers["Retry-After"]) == 1
        assert (await response.json())["error"]["code"] == "rate_limit_exceeded"
    clock: FakeClock = served.parts.clock  # type: ignore[assignment]
    clock.advance(1.1)
    await token(served)
    assert len(served.parts.user_attempts) == len(served.parts.address_attempts) == 0


async def test_an_unknown_user_is_told_the_same(served: Served) -> None:
    await served.parts.memory.access.add_user("ana", "correct horse", account="family")
    one, two = await token(served, "wrong horse", 401), await token(served, "wrong horse", 401, user="nobody")
    assert one == two


@pytest.mark.parametrize(
    "body", [{}, {"username": "ana"}, {"username": "ana", "password": ""}, {"username": 1, "password": "x"}, []]
)
async def test_malformed_logins(served: Served, body: Any) -> None:
    await served.json("POST", "/v1/token", 400, json=body)
    await served.json("GET", "/v1/token", 405)


async def test_the_control_socket_is_the_owner(memory: Memory) -> None:
    async with serve(make=make_admin_app, parts=fake_parts(memory=memory)) as served:
        for name in ("bo", "ana"):
            body = {"name": name, "password": "correct horse", "account": "family"}
            await served.json("POST", "/admin/users", json=body)
        await served.json("POST", "/admin/users", 409, json=body)
        await served.json("POST", "/admin/users", 400, json=body | {"name": "Ana!"})
        await served.json("POST", "/admin/users/ana/password", json={"password": "another horse"})
        await served.json("POST", "/admin/users/nix/password", 404, json={"password": "another horse"})
        await served.json("DELETE", "/admin/users/bo")
        users = await served.json("GET", "/admin/users")
        assert [user["name"] for user in users] == ["ana"]
        assert "hash" not in users[0]
        async with served.client.post(served.url + "/admin/tokens/rotate", json={}) as response:
            assert response.status == 204
        actions = await served.json("GET", "/admin/audit")
        assert len(actions) == 8
        assert "horse" not in json.dumps(actions)
        await served.json("GET", "/v1/models")
        one = await served.json("POST", "/admin/memory/accounts/family", json={"jobs": 2})
        assert one["settings"] == {"jobs": 2}
        assert memory.accounts.limited("family").jobs == 2
        await served.json("POST", "/admin/memory/accounts/family", 400, json={"jobs": -1})
        await served.json("POST", "/admin/memory/accounts/family", json={"jobs": None})
        assert memory.accounts.limited("family").jobs is None


async def test_an_account_that_nobody_has_is_not_made_by_a_slip_of_the_pen(memory: Memory) -> None:
    """And whose conversations were exported is logged."""
    async with serve(make=make_admin_app, parts=fake_parts(memory=memory, key_hashes=(STATIC,))) as served:
        await key(served, account="ana")
        for name in ("ana", "local", STATIC[7:23]):
            await served.json("POST", f"/admin/memory/accounts/{name}", json={"jobs": 2, "tokens_per_minute": 9})
        refused = await served.json("POST", "/admin/memory/accounts/anna", 404, json={"jobs": 2})
        assert "accounts list" in refused["error"]["message"]
        await served.json("GET", "/admin/memory/export?account=anna", 404)
        async with served.client.get(served.url + "/admin/memory/export?account=ana") as response:
            assert (response.status, await response.text()) == (200, "")
        accounts = await served.json("GET", "/admin/memory/accounts")
        assert {one["id"] for one in accounts} == {"ana", "local", STATIC[7:23]}
        log = [(one.what, one.target, one.status) for one in await memory.audit.newest(3)]
        assert log == [
            ("GET /admin/memory/export", "ana", 200),
            ("GET /admin/memory/export", "anna", 404),
            ("POST /admin/memory/accounts/{id}", "anna (jobs=2)", 404),
        ]


async def test_limits_are_told_and_kept(memory: Memory) -> None:
    parts = fake_parts(memory=memory)
    parts.clock = parts.rates._clock = clock = FakeClock()
    async with serve(parts=parts) as served:
        one, two = await key(served, account="one"), await key(served, account="two", name="2")
        await memory.accounts.change("one", requests_per_minute=2)

        async def post(headers: Any) -> aiohttp.ClientResponse:
            async with served.client.post(
                served.url + "/v1/completions", json={"prompt": "x"}, headers=headers
            ) as response:
                await response.read()
                return response

        assert "X-RateLimit-Limit-Requests" not in (await post(two)).headers
        left = [(await post(one)).headers["X-RateLimit-Remaining-Requests"] for _ in range(2)]
        assert left == ["1", "0"]
        refused = await post(one)
        assert refused.status == 429
        assert refused.headers["Retry-After"] == "30"
        assert refused.headers["X-RateLimit-Reset-Requests"] == "60s"
        assert (await post(two)).status == 200
        await served.json("GET", "/v1/models", headers=one)  # looking costs nothing
        clock.advance(30)
        assert (await post(one)).status == 200
        await memory.accounts.change("one", requests_per_minute=None, tokens_per_minute=1)
        assert (await post(one)).status == 200
        assert (await post(one)).status == 429


async def test_a_stranger_sends_little(served: Served) -> None:
    """Whoever is not known yet makes nothing large decoded."""
    body = {"username": "ana", "password": "correct horse", "more": "x" * 4096}
    refused = await served.json("POST", "/v1/token", 413, json=body)
    assert refused["error"]["limit"] == 4096


async def test_ollama_is_told_in_its_own_words(served: Served) -> None:
    await key(served)
    async with served.client.get(served.url + "/api/tags") as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert isinstance((await response.json())["error"], str)

from __future__ import annotations

import pytest
from aiohttp import web
from fakes.served import Served, fake_parts, serve

from mongarsd.api.app import make_admin_app
from mongarsd.api.guard import allowed_hosts, check_host, check_origin, check_target
from mongarsd.ground.errors import BadRequest, Forbidden

HOSTS = frozenset({"localhost", "board.local", "[::1]"})


@pytest.mark.parametrize("host", ["localhost", "LocalHost:8420", "board.local.", "board.local:1", "[::1]:8420"])
def test_host_ok(host: str) -> None:
    assert check_host([host], HOSTS) == host.lower()


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.2", "xn--lcalhost-d1a"])
def test_host_of_a_stranger(host: str) -> None:
    with pytest.raises(web.HTTPMisdirectedRequest):
        check_host([host], HOSTS)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["localhost", "localhost"],
        [""],
        ["localhost:"],
        ["localhost:123456"],
        ["localhost/x"],
        ["a@localhost"],
        ["localhost,evil"],
        ["local host"],
        ["-localhost"],
        ["::1"],
        ["localhost\n"],
        ["ｌocalhost"],
    ],
)
def test_host_malformed(headers: list[str]) -> None:
    with pytest.raises(BadRequest):
        check_host(headers, HOSTS)


def test_allowed_hosts_are_the_address_the_name_and_the_settings() -> None:
    parts = fake_parts(allowed_hosts=("Chat.Example",))
    parts.hostname = "Board.local"
    assert allowed_hosts(parts, "192.168.1.5") >= {"192.168.1.5", "board", "board.local", "chat.example", "localhost"}


@pytest.mark.parametrize("origin", ["http://board.local:8420", "https://board.local:8420", "https://app.example"])
def test_origin_ok(origin: str) -> None:
    check_origin([origin], "board.local:8420", ("https://app.example",))


@pytest.mark.parametrize(
    "headers",
    [
        ["null"],
        ["*"],
        ["http://board.local"],
        ["https://app.example.evil"],
        ["https://app.example", "https://app.example"],
        ["ftp://board.local:8420"],
    ],
)
def test_origin_of_a_stranger(headers: list[str]) -> None:
    with pytest.raises(Forbidden):
        check_origin(headers, "board.local:8420", ("https://app.example",))


@pytest.mark.parametrize("target", ["/", "/v1/models?x=1", "/%2e%2e"])
def test_target_ok(target: str) -> None:
    check_target(target)


@pytest.mark.parametrize("target", ["http://evil/", "*", "evil:80", "", "/a b", "/é"])
def test_target_fail(target: str) -> None:
    with pytest.raises(BadRequest):
        check_target(target)


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/v1/models", "/nowhere"])
async def test_a_foreign_host_gets_421_everywhere(served: Served, path: str) -> None:
    body = await served.json("GET", path, 421, headers={"Host": "evil.example"})
    assert body["error"]["code"] == "misdirected_request"
    assert "server.allowed_hosts" in body["error"]["message"]


@pytest.mark.parametrize("path", ["/", "/v1/models", "/nowhere"])
async def test_a_foreign_origin_gets_403_and_no_cors(served: Served, path: str) -> None:
    async with served.client.get(served.url + path, headers={"Origin": "https://evil.example"}) as response:
        assert response.status == 403
        assert not [name for name in response.headers if name.lower().startswith("access-control")]


async def test_an_allowed_origin_gets_cors_also_on_streams_and_errors() -> None:
    async with serve(allowed_origins=("https://app.example",)) as served:
        headers = {"Origin": "https://app.example"}
        for path in ("/v1/models", "/nowhere"):
            async with served.client.get(served.url + path, headers=headers) as response:
                assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
                assert response.headers["Vary"] == "Origin"
        body = {"prompt": "x", "stream": True}
        async with served.client.post(served.url + "/v1/completions", json=body, headers=headers) as response:
            assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"


async def test_preflight() -> None:
    async with serve(allowed_origins=("https://app.example",), key_hashes=("sha256:" + "0" * 64,)) as served:
        names = "authorization,content-type,x-stainless-helper-method,anthropic-version,x-conversation-id"
        ask = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": names}
        url = served.url + "/v1/chat/completions"
        async with served.client.options(url, headers={"Origin": "https://app.example", **ask}) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Headers"] == names
            assert "PATCH" in response.headers["Access-Control-Allow-Methods"]
            assert "X-Conversation-Id" in response.headers["Access-Control-Expose-Headers"]
        async with served.client.options(url, headers={"Origin": "https://evil.example", **ask}) as response:
            assert response.status == 403
        async with served.client.options(url, headers=ask) as response:
            assert response.status == 401


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
async def test_another_content_type_gets_415(served: Served, kind: str) -> None:
    body = await served.json("POST", "/v1/completions", 415, data=b"{}", headers={"Content-Type": kind})
    assert body["error"]["code"] == "unsupported_media_type"


NOTHING_SAID = {"skip_auto_headers": ("Content-Type",)}


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "0"}, {"Content-Type": "application/octet-stream"}])
async def test_a_post_without_a_body_needs_no_type(served: Served, headers: dict[str, str]) -> None:
    """The last is what aiohttp's client says of nothing; no page may."""
    async with served.client.post(served.url + "/v1/ws/ticket", headers=headers, **NOTHING_SAID) as response:
        assert response.status == 200
        assert response.request_info.headers.get("Content-Type") == headers.get("Content-Type")
        assert (await response.json())["ticket"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_a_pages_form_cannot_ask_for_what_needs_no_body(served: Served, kind: str) -> None:
    """A form without fields has no body, but a type."""
    await served.json("POST", "/v1/ws/ticket", 415, headers={"Content-Type": kind})


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:1", "null"])
async def test_a_strangers_script_cannot_either(served: Served, origin: str) -> None:
    """`fetch(…, {method: "POST", mode: "no-cors"})`: without a body it has no type, but its Origin."""
    headers = {"Origin": origin}
    async with served.client.post(served.url + "/v1/ws/ticket", headers=headers, **NOTHING_SAID) as response:
        assert response.status == 403
        assert "ticket" not in await response.json()


async def test_our_own_page_may(served: Served) -> None:
    async with served.client.post(
        served.url + "/v1/ws/ticket", headers={"Origin": served.url}, **NOTHING_SAID
    ) as response:
        assert response.status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_a_body_without_a_type_gets_415(served: Served, method: str) -> None:
    async with served.client.request(method, served.url + "/v1/ws/ticket", data=b"{}", **NOTHING_SAID) as response:
        assert response.status == 415
        assert "Content-Type: application/json" in (await response.json())["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/responses", "/api/chat", "/v1/token"])
async def test_nothing_where_a_body_is_needed_is_an_error_that_says_so(served: Served, path: str) -> None:
    async with served.client.post(served.url + path, **NOTHING_SAID) as response:
        assert response.status == 400
        assert "the body is empty" in await response.text()
        assert not served.executor.jobs
    async with served.client.post(served.url + "/v1/files", **NOTHING_SAID) as response:
        assert response.status == 415


async def test_a_charset_is_no_harm(served: Served) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    await served.json("POST", "/v1/completions", 200, data=b'{"prompt": "x"}', headers=headers)


async def test_every_answer_forbids_sniffing(served: Served) -> None:
    for path in ("/", "/healthz", "/nowhere"):
        async with served.client.get(served.url + path) as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_control_socket_needs_no_type_for_an_empty_post() -> None:
    async with serve(make=make_admin_app) as served:
        await served.json("POST", "/admin/models/tiny/load", 200, headers={"Host": "anything"})
        await served.json("POST", "/admin/models/pull", 415, data=b"{}", headers={"Content-Type": "text/plain"})

"""Keys through the real process: what may listen where, setup, and what restarts and kills change of it (nothing)."""

from __future__ import annotations

import http.client
import json
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fakes.daemon_process import DaemonProcess, running

from mongarsd.daemon import daemon as module
from mongarsd.daemon.address import Address
from mongarsd.daemon.config import load
from mongarsd.daemon.daemon import Daemon
from mongarsd.ground.clock import SystemClock
from mongarsd.ground.errors import StartError
from mongarsd.memory.room import Memory


def ctl(daemon: DaemonProcess, *arguments: str, code: int = 0, stdin: str = "", **env: str) -> str:
    done = daemon.ctl(*arguments, stdin=stdin, **env)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout + done.stderr


def post(daemon: DaemonProcess, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    with closing(daemon.connect()) as connection:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        return response.status, json.loads(response.read())


@pytest.mark.slow
def test_keys_users_tokens_and_limits() -> None:
    with running() as daemon:
        assert daemon.get("/v1/models")[0] == 200
        made = json.loads(ctl(daemon, "keys", "create", "laptop", "--account", "ana", "--json"))
        key = {"Authorization": f"Bearer {made['text']}"}
        assert daemon.get("/v1/models")[0] == 401
        assert daemon.get("/v1/models", **key)[0] == 200
        daemon.signal(signal.SIGKILL)
        daemon.wait()
        daemon.close()
        again = DaemonProcess(daemon.folder)
        try:
            assert again.get("/v1/models")[0] == 401
            assert again.get("/v1/models", **key)[0] == 200
            assert again.get("/admin/status", **key)[0] == 403
            assert "laptop" in ctl(again, "keys", "list")
            assert "anna" in ctl(again, "users", "add", "anna", "--account", "ana", stdin="correct horse\n")
            login = {"username": "anna", "password": "correct horse"}
            status, token = post(again, "/v1/token", login)
            assert status == 200
            bearer = {"Authorization": f"Bearer {token['access_token']}"}
            assert again.get("/v1/models", **bearer)[0] == 200
            ctl(again, "tokens", "rotate")
            assert again.get("/v1/models", **bearer)[0] == 401
            ctl(again, "users", "passwd", "anna", stdin="another horse\n")
            assert post(again, "/v1/token", login)[0] == 401
            assert "anna" in ctl(again, "users", "list")
            ctl(again, "users", "remove", "anna")
            assert "requests a minute: 1" in ctl(again, "accounts", "set", "ana", "--requests", "1")
            assert "ana" in ctl(again, "accounts", "list")
            assert post(again, "/v1/completions", {"prompt": "x", "max_tokens": 1}, **key)[0] == 200
            status, error = post(again, "/v1/completions", {"prompt": "x", "max_tokens": 1}, **key)
            assert (status, error["error"]["code"]) == (429, "rate_limit_exceeded")
            admin = json.loads(ctl(again, "keys", "create", "boss", "--scope", "admin", "--json"))
            url = f"http://{again.ports[0][0]}:{again.ports[0][1]}"
            assert "boss" in ctl(again, "keys", "list", "--url", url, MONGARSD_API_KEY=admin["text"])
            refused = ctl(again, "keys", "list", "--url", url, code=5, MONGARSD_API_KEY=made["text"])
            assert "admin" in refused
            ctl(again, "keys", "revoke", "laptop")
            assert again.get("/v1/models", **key)[0] == 401
            audit = ctl(again, "audit")
            assert "DELETE /admin/keys/{key}" in audit
            assert "uid:" in audit
            ctl(again, "keys", "revoke", "boss")
            assert again.get("/v1/models")[0] == 200
            told = audit + again.log + ctl(again, "config", "show") + ctl(again, "memory", "export")
            for secret in (made["text"], admin["text"], "horse", token["access_token"]):
                assert secret not in told
        finally:
            again.close()


def test_setup_makes_the_first_key_and_says_how_to_go_on() -> None:
    with running() as daemon:
        said = ctl(daemon, "setup", "--yes")
        for word in ("mg-", "listen = ", "0.0.0.0:8420", "HTTPS", "systemctl restart mongarsd"):
            assert word in said
        assert daemon.get("/v1/models")[0] == 401
        assert "a key already" in ctl(daemon, "setup", "--yes")


async def test_nobody_listens_beyond_loopback_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"MONGARSD_MODELS_OFFLINE": "1", "MONGARSD_SERVER_LISTEN": "127.0.0.1:0"}
    monkeypatch.setattr(module, "bound_address", lambda sock: Address("192.168.1.5", sock.getsockname()[1]))
    config = load(None, environ, {})
    refused = Daemon(config, tmp_path, lambda: config)
    with pytest.raises(StartError, match="mongarsctl setup"):
        await refused.start()
    await refused.close()
    memory = Memory(tmp_path, SystemClock())
    await memory.start()
    made = await memory.access.create_key("x", account="a")
    await memory.close()
    serving = Daemon(config, tmp_path, lambda: config)
    try:
        await serving.start()
        assert serving._node
        assert serving._node.has_keys
        assert serving._node._memory.access.find(made.text)
    finally:
        await serving.close()


def test_a_stranger_on_the_port_is_not_told_more_than_that(tmp_path: Path) -> None:
    with running() as daemon:
        ctl(daemon, "keys", "create", "x")
        with closing(http.client.HTTPConnection(*daemon.ports[0], timeout=10)) as connection:
            connection.request("GET", "/admin/keys")
            response = connection.getresponse()
            assert response.status == 401
            assert response.getheader("WWW-Authenticate")

"""Downloads are checked against the authorities of the system, though the daemon imports aiohttp without them."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

#: As the daemon begins; then one request, as a download makes it.
PROGRAM = """
import asyncio, sys
from mongarsd.daemon import footprint
footprint.begin()
from yarl import URL
from mongarsd.inference.models.sources.hub import Hub
from mongarsd.inference.models.sources.hub_client import request

async def main():
    async with request(Hub(URL(sys.argv[1]), None), "GET", "/file", {}, "org/repo") as answer:
        print(await answer.text())

asyncio.run(main())
"""


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Of "localhost", signed by itself; its key lies beside it."""
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2")
    files = ("-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "certificate.pem"))
    subprocess.run(["openssl", "req", "-x509", *kind, *subject, *files], check=True, capture_output=True, timeout=20)
    return tmp_path / "certificate.pem"


@pytest.fixture
async def hub(certificate: Path) -> AsyncIterator[str]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))

    async def file(_: web.Request) -> web.Response:
        return web.Response(text="the model")

    app = web.Application()
    app.router.add_get("/file", file)
    server = TestServer(app, scheme="https", host="127.0.0.1")
    await server.start_server(ssl=context)
    yield f"https://localhost:{server.port}"
    await server.close()


async def ask(hub: str, env: dict[str, str]) -> tuple[str, str]:
    """What the program wrote to its standard output and error."""
    clean = {name: value for name, value in os.environ.items() if name not in ("SSL_CERT_FILE", "SSL_CERT_DIR")}
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, hub), env=clean | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await child.communicate()
    return out.decode(), err.decode()


async def test_who_is_vouched_for_is_believed(hub: str, certificate: Path) -> None:
    assert await ask(hub, {"SSL_CERT_FILE": str(certificate)}) == ("the model\n", "")


async def test_a_stranger_is_refused(hub: str) -> None:
    out, err = await ask(hub, {})
    assert out == ""
    assert "certificate verify failed" in err

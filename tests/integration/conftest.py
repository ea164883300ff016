"""One daemon on the real default model for the whole session, as a user would start it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.daemon_process import MODEL, DaemonProcess

from mongarsd.inference.models.manifest import InstalledModel
from mongarsd.inference.models.store import ModelStore

KNOBS = {"MONGARSD_INFERENCE_SLOTS": "8", "MONGARSD_INFERENCE_CONTEXT": "1024"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)
            item.add_marker(pytest.mark.timeout(600))  # a mark of its own comes first; others may compute too


def with_model(state: Path, file: Path) -> InstalledModel:
    """Install a model file under the default model's name."""
    import asyncio

    async def pull() -> InstalledModel:
        store = ModelStore(state)
        async for _ in store.pull(f"file:{file}", MODEL):
            pass
        await store.close()
        return store.resolve(MODEL)

    state.mkdir(parents=True)
    return asyncio.run(pull())


@contextlib.contextmanager
def real_daemon(model: Path, *arguments: str, **env: str) -> Iterator[DaemonProcess]:
    folder = Path(tempfile.mkdtemp(prefix="m"))
    daemon = None
    try:
        with_model(folder / "state", model)
        daemon = DaemonProcess(folder, *arguments, fake=False, state="state", env={**KNOBS, **env})
        wait_until(lambda: daemon.get("/readyz")[0] == 200)
        yield daemon
    finally:
        if daemon:
            daemon.close()
        shutil.rmtree(folder)


def wait_until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    import time

    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come true in time"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def daemon(default_model: Path) -> Iterator[DaemonProcess]:
    with real_daemon(default_model) as daemon:
        yield daemon


@pytest.fixture(scope="session")
def url(daemon: DaemonProcess) -> str:
    host, port = daemon.ports[0]
    return f"http://{host}:{port}"


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    return wait_until


@pytest.fixture(scope="session")
def install() -> Callable[[Path, Path], InstalledModel]:
    return with_model

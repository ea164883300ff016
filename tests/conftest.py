"""What every test may use. Helper modules are imported as `fakes.<name>`: this folder is on the path."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers

sys.path.insert(0, str(Path(__file__).parent))

# Some 150 daemons and workers are started, and 240 modules compiled for each would be half a minute of processor time.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Hypothesis fails an example that takes 200 ms, as one may on a board where others compute.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Where examples are to be the same every time (CI), one value in twenty would still be a literal out of whatever of our
# modules are loaded by then, and that is up to how the files are spread over processes.
if settings.get_profile("untimed").derandomize:
    providers._get_local_constants = providers.Constants  # type: ignore[assignment, attr-defined]

#: Bytes that must be free in /dev/shm for the tests' files to lie there, unless TMPDIR says where: on a disk, each of
#: 500 databases waits 70 ms until it is synced. That they do sync, test_power_cuts.py asks of a disk of its own.
IN_MEMORY = 1 << 30


def _has_room(folder: str) -> bool:
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize >= IN_MEMORY and not found.f_flag & (os.ST_NOEXEC | os.ST_RDONLY)


if "TMPDIR" not in os.environ and _has_room("/dev/shm"):
    os.environ["TMPDIR"] = tempfile.tempdir = "/dev/shm"

STATE = Path(__file__).parent.parent / ".cache" / "state"  # the one that `make run` uses


@pytest.fixture(scope="session")
def default_model() -> Path:
    """The default model's file; fetched once if it is not there (98 MB). MONGARSD_TEST_MODEL names another file."""
    if given := os.environ.get("MONGARSD_TEST_MODEL"):
        return Path(given)

    from mongarsd.ground.errors import ModelNotFound
    from mongarsd.ground.settings import ModelSettings
    from mongarsd.inference.models.store import ModelStore

    async def fetch() -> Path:
        store = ModelStore(STATE)
        name = ModelSettings().default
        try:
            return store.resolve(name).path
        except ModelNotFound:
            async for _ in store.pull(name):
                pass
            return store.resolve(name).path
        finally:
            await store.close()

    return asyncio.run(fetch())


@pytest.fixture(scope="session")
def embedding_model() -> Path:
    """The state directory that has all-MiniLM-L6-v2; fetched once if it is not there (105 MB)."""
    from mongarsd.ground.errors import InvalidModel, ModelNotFound
    from mongarsd.ground.settings import ModelSettings
    from mongarsd.inference.models.store import ModelStore

    async def fetch() -> Path:
        store = ModelStore(STATE)
        name = ModelSettings().embedding
        try:
            store.resolve(name)
        except (ModelNotFound, InvalidModel):
            async for _ in store.pull(name):
                pass
        finally:
            await store.close()
        return STATE

    return asyncio.run(fetch())

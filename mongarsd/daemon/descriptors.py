"""How many files the process may have open: enough for every connection that the settings let in.

Where one is missing, nothing works: no file can be read, no connection taken, no worker started.
"""

from __future__ import annotations

import resource
from collections.abc import Callable

from mongarsd.api.refused import MOST
from mongarsd.ground.errors import SettingsError

#: Each of the TCP ports and the control socket lets in so many connections.
LISTENERS = 2
#: Beside those that are let in: those that are refused, the 100 that asyncio takes at once before one is looked at, and
#: what the database, the models, their workers and uploads have open.
BESIDE = 228 + LISTENERS * MOST

Limit = tuple[int, int]  # now, and at most


def allow(
    connections: int,
    read: Callable[[int], Limit] = resource.getrlimit,
    write: Callable[[int, Limit], None] = resource.setrlimit,
) -> None:
    """Raise the limit where it is too low. Raises SettingsError when it may not be so high."""
    now, most = read(resource.RLIMIT_NOFILE)
    need = LISTENERS * connections + BESIDE
    if _below(most, need):
        raise SettingsError(
            f"server.max_connections: {connections} connections need up to {need} open files, and there may be "
            f"{most} here: set it lower, or raise the limit (`ulimit -n`; LimitNOFILE= of a service)"
        )
    if _below(now, need):
        write(resource.RLIMIT_NOFILE, (need, most))


def _below(limit: int, need: int) -> bool:
    return limit != resource.RLIM_INFINITY and limit < need

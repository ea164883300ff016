"""The real `mongarsd`, whose workers run the engine over the fake backend: needs no weights that mean anything."""

from __future__ import annotations

import functools
import sys

from mongarsd.daemon import cli, daemon

if __name__ == "__main__":
    daemon.Daemon = functools.partial(daemon.Daemon, backend="fake")  # type: ignore[assignment,misc]
    sys.exit(cli.main())

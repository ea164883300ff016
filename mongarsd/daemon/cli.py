"""`mongarsd`: flags in, exit code out. argparse, because typer costs 7 MB for as long as the daemon runs."""

from __future__ import annotations

import argparse
import asyncio
import functools
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mongarsd import __version__
from mongarsd.daemon import config, footprint, logs
from mongarsd.daemon.keys import key_hash, new_key
from mongarsd.daemon.state import StateDirectory, state_path
from mongarsd.ground.errors import MongarsError, SettingsError

OK, CANNOT_START, BAD_SETTINGS = 0, 1, 2

log = logging.getLogger(__name__)

EXAMPLES = """\
examples:
  mongarsd                               serve on http://127.0.0.1:8420
  mongarsd --listen 0.0.0.0:8420         serve the whole network (first: mongarsctl setup)
  mongarsd --check                       show the settings in force, and where each comes from

exit codes: 0 ended by a signal, 1 cannot start or died, 2 wrong flags or settings
"""


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mongarsd",
        description="A private chat server for the small boards you own.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--config", type=Path, metavar="FILE", help=f"settings file (default: {config.DEFAULT_FILE}, if it is there)")
    add("--state-dir", type=Path, metavar="DIR", help="where models and data are kept")
    add("--listen", action="append", metavar="HOST:PORT", help="where to serve HTTP; may be repeated")
    add("--log-level", metavar="LEVEL", help="debug, info, warning or error")
    add("--check", action="store_true", help="check the settings, print them and exit")
    add("--new-key", action="store_true", help="print a new API key and its settings line, and exit")
    add("--version", action="version", version=f"mongarsd {__version__}")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon. The exit codes are in EXAMPLES."""
    try:
        given = make_parser().parse_args(arguments)
    except SystemExit as end:  # argparse has said why
        return end.code if isinstance(end.code, int) else BAD_SETTINGS
    if given.new_key:
        return _print_key()
    flags = {"server.listen": given.listen, "log.level": given.log_level}
    load = functools.partial(
        config.load, given.config, os.environ, {key: value for key, value in flags.items() if value is not None}
    )
    try:
        loaded = load()
        if given.check:
            return _print_settings(loaded)
        return _serve(loaded, load, given.state_dir)
    except SettingsError as error:
        sys.stderr.writelines(f"mongarsd: {line}\n" for line in error.message.splitlines())
        return BAD_SETTINGS
    except MongarsError as error:
        sys.stderr.write(f"mongarsd: {error.message}\n")
        return CANNOT_START


def _serve(loaded: config.Config, load: Callable[[], config.Config], state_dir: Path | None) -> int:
    logs.set_up(loaded.settings.log)
    state = StateDirectory(state_path(state_dir, os.environ))
    try:
        return asyncio.run(_run(loaded, load, state.path))
    except KeyboardInterrupt:  # before the signals were in our hands
        return OK
    finally:
        state.close()


async def _run(loaded: config.Config, load: Callable[[], config.Config], state: Path) -> int:
    footprint.begin()
    from mongarsd.daemon.daemon import Daemon  # aiohttp (0.2 s on a Pi 4: 1 s): not for --help or a bad flag

    daemon = Daemon(loaded, state, load)
    try:
        await daemon.start()
        return await daemon.run()
    finally:
        await daemon.close()


def _print_key() -> int:
    key = new_key()
    sys.stdout.write(
        f"The key, shown only this once; clients send it as their API key:\n\n    {key}\n\n"
        "For the settings (add it to those already there):\n\n"
        f'    [server]\n    key_hashes = ["{key_hash(key)}"]\n'
    )
    return OK


def _print_settings(loaded: config.Config) -> int:
    for key, value, origin in loaded.effective():
        sys.stdout.write(f"{key} = {value!r}  ({origin})\n")
    return OK

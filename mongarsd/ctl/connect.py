"""The options by which every command that talks to the daemon finds it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mongarsd.client import Client

_SOCKET = Annotated[
    Path | None,
    typer.Option(
        "--socket",
        envvar="MONGARSD_SOCKET",
        metavar="PATH",
        help="Control socket of the daemon, or the directory that holds it.",
    ),
]
_URL = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Talk to http://HOST:PORT instead of the control socket."),
]
_KEY = Annotated[
    str | None,
    typer.Option(
        "--key",
        envvar="MONGARSD_API_KEY",
        metavar="KEY",
        show_envvar=True,
        help="API key for --url; better in the environment, because others can see a command line.",
    ),
]
_OPTIONS = {"socket": _SOCKET, "url": _URL, "key": _KEY}


def make_client(socket: Path | None = None, url: str | None = None, key: str | None = None) -> Client:
    """A person sees at once that the node is busy, and decides."""
    return Client(url, key=key, socket=None if url else socket, retries=0)


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, whose first parameter is a Client, the options --socket, --url and --key in its place."""
    signature = inspect.signature(command, eval_str=True)
    _, *own = signature.parameters.values()
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in _OPTIONS.items()
    ]

    @functools.wraps(command)
    def run(*, socket: Path | None, url: str | None, key: str | None, **arguments: Any) -> None:
        command(make_client(socket, url, key), **arguments)

    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + options
    )
    return run

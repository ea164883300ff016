"""The commands of `mongarsctl`, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from mongarsd import __version__
from mongarsd.ctl import (
    accounts,
    cache,
    config,
    documents,
    events,
    keys,
    memories,
    memory,
    models,
    setup,
    status,
    users,
)
from mongarsd.ctl.app import examples, make_app
from mongarsd.ctl.chat import command as chat
from mongarsd.ctl.doctor import command as doctor

CODES = """
\b
Exit codes:
  0 done             3 no daemon answers    6 busy: try again
  1 did not work     4 no such thing        130 stopped by Ctrl-C
  2 wrong command    5 refused

--socket, --url, --key and --json may stand before the command, too.
"""

app = make_app(
    "Look after mongarsd: see what it does, chat with it, manage its models.",
    examples(
        "mongarsctl status                   # what the node is doing, and why",
        'mongarsctl chat "What is a Pi?"     # one question; without it, a chat',
        "mongarsctl models list              # the models on disk",
        "mongarsctl doctor                   # what is wrong, and what to do",
    )
    + "\n"
    + CODES,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"mongarsctl {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command(epilog=status.EXAMPLES)(status.status)
app.command(epilog=events.EXAMPLES)(events.events)
app.command(epilog=chat.EXAMPLES)(chat.chat)
app.add_typer(models.app, name="models")
app.command(epilog=doctor.EXAMPLES)(doctor.doctor)
app.add_typer(cache.app, name="cache")
memory.app.command(epilog=documents.ADD)(documents.add)
memory.app.command(epilog=documents.DOCUMENTS)(documents.documents)
memory.app.command(epilog=memories.REMEMBER)(memories.remember)
memory.app.command(epilog=memories.SEARCH)(memories.search)
memory.app.command("list", epilog=memories.LIST)(memories.list_)
memory.app.command(epilog=memories.FORGET)(memories.forget)
memory.app.command(epilog=memories.USE)(memories.use)
app.add_typer(memory.app, name="memory")
app.add_typer(config.app, name="config")
app.command(epilog=setup.EXAMPLES)(setup.setup)
app.add_typer(keys.app, name="keys")
app.add_typer(users.app, name="users")
app.add_typer(users.tokens, name="tokens")
app.add_typer(accounts.app, name="accounts")
app.command(epilog=accounts.AUDIT)(accounts.audit)

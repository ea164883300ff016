"""`mongarsctl memory`: the database of conversations, its backups, and getting everything out of it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from mongarsd.client import Client
from mongarsd.client.calls.access import AccountChange
from mongarsd.client.calls.history import Form
from mongarsd.ctl.app import Json, examples, make_app
from mongarsd.ctl.connect import connected
from mongarsd.ctl.exits import Exit, Failure
from mongarsd.ctl.terminal import clean, pairs, table
from mongarsd.ctl.units import many, size
from mongarsd.ground.status import MemoryStatus

app = make_app("Look after what is remembered.", examples("mongarsctl memory status", "mongarsctl memory backup"))

Account = Annotated[str, typer.Option("--account", help="Whose: as `accounts list` names it.")]
DAY = 86_400.0


@app.command(epilog=examples("mongarsctl memory status", "mongarsctl memory status --json"))
@connected
def status(client: Client, json: Json = False) -> None:
    """Show what is stored, and the backups."""
    found = client.memory_status()
    print(_json(found) if json else "\n".join(render(found)))


@app.command(epilog=examples("mongarsctl memory backup"))
@connected
def backup(client: Client, json: Json = False) -> None:
    """Copy the database now. Chats go on meanwhile."""
    made = client.backup()
    print(_json(made) if json else f"{clean(made.name)}: {size(made.bytes)}, checked")


@app.command(epilog=examples("mongarsctl memory restore mongars-2026-11-21-023000.db"))
@connected
def restore(
    client: Client, name: Annotated[str, typer.Argument(help="As `memory status` lists it.")], json: Json = False
) -> None:
    """Put a backup in the place of the database, which is kept beside it."""
    taken = client.restore(name)
    print(_json(taken) if json else f"{clean(taken.name)} is the database now.")


@app.command(epilog=examples("mongarsctl memory check"))
@connected
def check(client: Client, json: Json = False) -> None:
    """Read every byte of the database. Takes about 10 s for each GB."""
    result = client.check()
    print(_json(result) if json else "The database is whole.")


@app.command(
    epilog=examples(
        "mongarsctl memory export > chats.jsonl",
        "mongarsctl memory export --form markdown -o chats.md",
    )
)
@connected
def export(
    client: Client,
    account: Account = "local",
    form: Annotated[Form, typer.Option("--form", help="json (a conversation a line) or markdown.")] = "json",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A new file; else standard output.")] = None,
) -> None:
    """Write out every conversation of an account."""
    with client.export_account(account, form=form) as pieces:
        if output is None:
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            return
        first = next(pieces, b"")  # a refusal must not leave an empty file
        try:
            with open(output, "xb", opener=_private) as file:
                file.write(first)
                file.writelines(pieces)
        except OSError as error:
            raise Failure(f"{output} cannot be written: {error.strerror}", Exit.FAILURE) from error


@app.command(epilog=examples("mongarsctl memory limit --days 365", "mongarsctl memory limit --megabytes 200"))
@connected
def limit(
    client: Client,
    account: Account = "local",
    days: Annotated[float | None, typer.Option(min=0, help="Conversations unused for longer go; 0 = never.")] = None,
    megabytes: Annotated[float | None, typer.Option(min=0, help="Beyond this the oldest go; 0 = no limit.")] = None,
) -> None:
    """Set how long, and how much, an account's conversations are kept."""
    wanted: AccountChange = {}
    if days is not None:
        wanted["max_age"] = days * DAY
    if megabytes is not None:
        wanted["max_bytes"] = int(megabytes * 1e6)
    settings = client.change_account(account, **wanted).settings
    age, most = settings.max_age / DAY, settings.max_bytes
    print(f"{clean(account)}: kept for {f'{age:g} days' if age else 'ever'}, {size(most) if most else 'any size'}")


def render(memory: MemoryStatus) -> list[str]:
    """Lines for people."""
    shared = f", {memory.writes / memory.commits:.1f} writes a sync" if memory.commits else ""
    held = (
        many(memory.conversations, "conversation"),
        many(memory.turns, "turn"),
        many(memory.summaries, "summary", "summaries"),
    )
    rows = [
        ("Database", f"{clean(memory.path)}, {size(memory.bytes)}, schema {memory.schema}"),
        ("Holds", ", ".join(held)),
        ("Since the start", f"{memory.writes} writes{shared}"),
        *(("Warning", clean(text)) for text in memory.warnings),
    ]
    when = "%Y-%m-%d %H:%M"
    copies = [
        (clean(one.name), size(one.bytes), time.strftime(when, time.localtime(one.made))) for one in memory.backups
    ]
    listed = table(("BACKUP", "SIZE", "MADE"), copies, numbers=(1,)) if copies else ["No backup yet."]
    return [*pairs(rows, indent=""), "", *listed]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()

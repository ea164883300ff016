"""`mongarsctl config`: the settings that hold, a check of others, a new key."""

from __future__ import annotations

import json as stdlib_json
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from mongarsd.client import Client
from mongarsd.ctl import server
from mongarsd.ctl.app import Json, examples, make_app
from mongarsd.ctl.connect import connected
from mongarsd.ctl.exits import Exit, Failure
from mongarsd.ctl.terminal import clean, clean_text

app = make_app("Show and check the settings, make an API key.", examples("mongarsctl config show"))


@app.command(epilog=examples("mongarsctl config show", "mongarsctl config show --json"))
@connected
def show(client: Client, json: Json = False) -> None:
    """Show the settings that the daemon runs with. Secrets are hidden."""
    settings = client.config()
    if json:
        print(msgspec.json.format(msgspec.json.encode(settings), indent=2).decode())
        return
    for number, (group, values) in enumerate(settings.items()):
        print(f"\n[{clean(group)}]" if number else f"[{clean(group)}]")
        for name, value in values.items():
            # JSON's strings, numbers, booleans and lists are TOML's too.
            print(f"{clean(name)} = {clean(stdlib_json.dumps(value, ensure_ascii=False))}")


@app.command(
    epilog=examples(
        "mongarsctl config check                  # /etc/mongarsd/mongarsd.toml",
        "mongarsctl config check new.toml         # before it is put there",
    )
)
def check(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="TOML file; without it, what the daemon would read here.")
    ] = None,
) -> None:
    """Check settings before the daemon meets them: every error, with its key."""
    result = server.run("--check", *(("--config", str(file)) if file else ()))
    if result.code:
        raise Failure("the settings are not valid:\n" + clean_text(server.complaints(result)), Exit.FAILURE)
    print(f"{clean(str(file))} is valid." if file else "The settings are valid.")


@app.command(epilog=examples("mongarsctl config new-key"))
def new_key() -> None:
    """Make an API key, shown once; the settings keep only its hash."""
    result = server.run("--new-key")
    if result.code:
        raise Failure(f"no key could be made: {server.complaints(result)}")
    print(result.output, end="")

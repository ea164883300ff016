"""`mongarsctl keys`: who may use the node."""

from __future__ import annotations

import enum
import time
from typing import Annotated, Any

import msgspec
import typer

from mongarsd.client import Client
from mongarsd.ctl.app import Json, examples, make_app
from mongarsd.ctl.connect import connected
from mongarsd.ctl.terminal import clean, note, table

app = make_app("Make, list and revoke API keys.", examples("mongarsctl keys create laptop", "mongarsctl keys list"))

DAY = 86_400.0


class Scope(enum.StrEnum):
    CHAT = "chat"
    ADMIN = "admin"
    METRICS = "metrics"


Scopes = Annotated[list[Scope], typer.Option("--scope", help="What it may do; may be repeated.")]
Owner = Annotated[str | None, typer.Option("--account", help="Whose conversations it sees; else one of that name.")]


@app.command(
    epilog=examples(
        "mongarsctl keys create laptop",
        "mongarsctl keys create grafana --scope metrics --days 365",
        "mongarsctl keys create me --account local    # sees what was kept before",
    )
)
@connected
def create(
    client: Client,
    name: Annotated[str, typer.Argument(help="Who or what will use it.")],
    account: Owner = None,
    scope: Scopes = [Scope.CHAT],  # noqa: B006  # typer's way to say the default
    days: Annotated[float | None, typer.Option(min=0.001, help="Valid for so long; else until revoked.")] = None,
    json: Json = False,
) -> None:
    """Make a key. It is shown only now."""
    made = client.create_key(name, account=account, scopes=scope, lasts=None if days is None else days * DAY)
    if json:
        print(_json(made))
        return
    note(f"The key of account {clean(made.key.account)}, shown only this once:")
    print(made.text)


@app.command("list", epilog=examples("mongarsctl keys list", "mongarsctl keys list --json"))
@connected
def list_(client: Client, json: Json = False) -> None:
    """List the keys. What they are is known to nobody here."""
    keys = client.keys()
    if json:
        print(_json(keys))
        return
    rows = [
        (
            one.id,
            clean(one.name),
            clean(one.account),
            " ".join(one.scopes),
            day(one.created),
            day(one.used),
            day(one.expires),
        )
        for one in keys
    ]
    print("\n".join(table(("ID", "NAME", "ACCOUNT", "SCOPES", "MADE", "LAST USED", "EXPIRES"), rows)))


@app.command(epilog=examples("mongarsctl keys revoke laptop", "mongarsctl keys revoke key_0123456789abcdef"))
@connected
def revoke(
    client: Client, name: Annotated[str, typer.Argument(help="Its id, or its name if only one has it.")]
) -> None:
    """Revoke a key, at once."""
    gone = client.revoke_key(name)
    print(f"Revoked: {clean(gone.name)} ({gone.id})")


def day(at: float | None) -> str:
    return "never" if at is None else time.strftime("%Y-%m-%d", time.localtime(at))


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()

"""`mongarsctl users` and `tokens`: people with passwords."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import msgspec
import typer

from mongarsd.client import Client
from mongarsd.ctl.app import Json, examples, make_app
from mongarsd.ctl.connect import connected
from mongarsd.ctl.exits import Exit, Failure
from mongarsd.ctl.keys import Owner, Scope, Scopes, day
from mongarsd.ctl.terminal import clean, table

app = make_app("Add, list and remove users.", examples("mongarsctl users add ana", "mongarsctl users list"))
tokens = make_app("The tokens that users get for passwords.", examples("mongarsctl tokens rotate"))

Name = Annotated[str, typer.Argument(help="As `users list` names them.")]


@app.command(epilog=examples("mongarsctl users add ana", "mongarsctl users add bo --account family"))
@connected
def add(
    client: Client,
    name: Annotated[str, typer.Argument(help="Small letters, digits, dots, dashes, underscores.")],
    account: Owner = None,
    scope: Scopes = [Scope.CHAT],  # noqa: B006  # typer's way to say the default
) -> None:
    """Add a user. The password is asked for, or read from standard input."""
    user = client.add_user(name, _password(), account=account, scopes=scope)
    print(f"Added: {clean(user.name)}, account {clean(user.account)}")


@app.command(epilog=examples("mongarsctl users passwd ana"))
@connected
def passwd(client: Client, name: Name) -> None:
    """Set a password. The user's tokens die."""
    user = client.set_password(name, _password())
    print(f"Changed: {clean(user.name)}")


@app.command("list", epilog=examples("mongarsctl users list"))
@connected
def list_(client: Client, json: Json = False) -> None:
    """List the users."""
    users = client.users()
    if json:
        print(_json(users))
        return
    rows = [(clean(one.name), clean(one.account), " ".join(one.scopes), day(one.created)) for one in users]
    print("\n".join(table(("NAME", "ACCOUNT", "SCOPES", "SINCE"), rows)))


@app.command(epilog=examples("mongarsctl users remove ana"))
@connected
def remove(client: Client, name: Name) -> None:
    """Remove a user, and the user's tokens. What the account has stays."""
    gone = client.remove_user(name)
    print(f"Removed: {clean(gone.name)}")


@tokens.callback()
def _group() -> None:
    """The tokens that users get for passwords."""


@tokens.command(epilog=examples("mongarsctl tokens rotate"))
@connected
def rotate(client: Client) -> None:
    """Make a new secret: every token that was ever given dies."""
    client.rotate_tokens()
    print("Every token is dead; users log in again.")


def _password() -> str:
    """Never an argument: others can see command lines."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    import getpass

    first = getpass.getpass("Password: ")
    if first != getpass.getpass("Once more: "):
        raise Failure("the two are not the same", Exit.USAGE)
    return first


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()

"""`mongarsctl accounts` and `audit`: what each account may ask for, and what administrators did."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
import typer

from mongarsd.client import Client
from mongarsd.client.calls.access import AccountChange
from mongarsd.ctl.app import Json, examples, make_app
from mongarsd.ctl.connect import connected
from mongarsd.ctl.exits import Exit, Failure
from mongarsd.ctl.terminal import clean, table

app = make_app(
    "What accounts may ask for. They come with their first key or user.",
    examples("mongarsctl accounts list", "mongarsctl accounts set ana --requests 20"),
)
AUDIT = examples("mongarsctl audit", "mongarsctl audit --limit 500 --json")

_FIELDS = {"requests_per_minute": "requests a minute", "tokens_per_minute": "tokens a minute", "jobs": "jobs at once"}


@app.command("list", epilog=examples("mongarsctl accounts list"))
@connected
def list_(client: Client, json: Json = False) -> None:
    """List the accounts and their own limits."""
    accounts = client.accounts()
    if json:
        print(_json(accounts))
        return
    rows = [(clean(one.id), *(_said(getattr(one.settings, name)) for name in _FIELDS)) for one in accounts]
    print("\n".join(table(("ACCOUNT", "REQUESTS/MIN", "TOKENS/MIN", "JOBS"), rows, numbers=(1, 2, 3))))


@app.command(
    "set",
    epilog=examples(
        "mongarsctl accounts set ana --requests 20 --jobs 2", "mongarsctl accounts set ana --tokens default"
    ),
)
@connected
def set_(
    client: Client,
    account: Annotated[str, typer.Argument(help="As `accounts list` names it.")],
    requests: Annotated[str | None, typer.Option(help="A minute; 0 = no limit, or default.")] = None,
    tokens: Annotated[str | None, typer.Option(help="A minute; 0 = no limit, or default.")] = None,
    jobs: Annotated[str | None, typer.Option(help="At once; 0 = no limit, or default.")] = None,
) -> None:
    """Give an account limits of its own; `default` = those of the settings."""
    changes: AccountChange = {}
    if requests is not None:
        changes["requests_per_minute"] = _number(requests)
    if tokens is not None:
        changes["tokens_per_minute"] = _number(tokens)
    if jobs is not None:
        changes["jobs"] = _number(jobs)
    now = client.change_account(account, **changes)
    for name, words in _FIELDS.items():
        print(f"{words}: {_said(getattr(now.settings, name))}")


@connected
def audit(
    client: Client,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many.")] = 50,
    json: Json = False,
) -> None:
    """Show what administrators did, newest first."""
    actions = client.audit(limit=limit)
    if json:
        print(_json(actions))
        return
    rows = [
        (
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.at)),
            clean(one.who),
            str(one.status),
            clean(one.what),
            clean(one.target),
        )
        for one in actions
    ]
    print("\n".join(table(("WHEN", "WHO", "STATUS", "WHAT", "TARGET"), rows)))


def _number(text: str) -> int | None:
    if text == "default":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise Failure(f"{clean(text)} is not a number, and not `default`", Exit.USAGE)
    return int(text)


def _said(limit: int | None) -> str:
    return "default" if limit is None else "no limit" if limit == 0 else str(limit)


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()

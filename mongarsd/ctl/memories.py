"""`mongarsctl memory remember|search|list|forget`: facts, and what was said."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
import typer

from mongarsd.client import Client
from mongarsd.client.calls import facts
from mongarsd.client.calls.access import AccountChange
from mongarsd.ctl.app import Json, examples
from mongarsd.ctl.connect import connected
from mongarsd.ctl.terminal import clean, note, table

REMEMBER = examples('mongarsctl memory remember "The cat is called Mia"')
SEARCH = examples('mongarsctl memory search "name of the cat"', 'mongarsctl memory search "cat" -k 3 --json')
LIST = examples("mongarsctl memory list", "mongarsctl memory list --limit 100")
FORGET = examples("mongarsctl memory forget mem_1f0c…    # as `memory list` names it")

USE = examples("mongarsctl memory use --recall --remember", "mongarsctl memory use --no-recall")

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=100, help="How many.")]


@connected
def remember(
    client: Client, text: Annotated[str, typer.Argument(help="One fact, as a sentence.")], json: Json = False
) -> None:
    """Remember a fact."""
    told = client.remember(text)
    print(_json(told) if json else told.id)


@connected
def search(
    client: Client,
    text: Annotated[str, typer.Argument(help="Words, or a question.")],
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many.")] = 8,
    json: Json = False,
) -> None:
    """Search what is remembered, by words and by meaning."""
    found = client.search_memory(text, k=k)
    if json:
        print(_json(found))
        return
    if found.mode == "words":
        note(f"By words alone: {clean(found.why)}.")
    rows = [
        (
            f"{hit.score:.2f}",
            "-" if hit.similarity is None else f"{hit.similarity:.2f}",
            f"{hit.words:.2f}",
            hit.memory.id,
            _line(hit.memory.text),
        )
        for hit in found.data
    ]
    print("\n".join(table(("SCORE", "MEANING", "WORDS", "ID", "TEXT"), rows, numbers=(0, 1, 2))))


@connected
def list_(client: Client, limit: Limit = 20, json: Json = False) -> None:
    """List what is remembered, newest first."""
    found = client.run(facts.memories(limit=limit).page(""))
    if json:
        print(_json(found))
        return
    rows = [
        (time.strftime("%Y-%m-%d", time.localtime(one.created_at)), clean(one.source), one.id, _line(one.text))
        for one in found.data
    ]
    print("\n".join(table(("SINCE", "SOURCE", "ID", "TEXT"), rows)))
    if found.has_more:
        note("There is more: --limit, or search.")


@connected
def forget(
    client: Client, name: Annotated[str, typer.Argument(metavar="ID", help="As list and search name it.")]
) -> None:
    """Forget one memory."""
    memory = client.memory(name)
    client.forget(name)
    print(f"Forgotten: {_line(memory.text)}")


@connected
def use(
    client: Client,
    recall: Annotated[bool | None, typer.Option(help="Give chats what is remembered, unasked.")] = None,
    remember: Annotated[bool | None, typer.Option(help='Obey "Remember that …" and "forget …".')] = None,
    account: Annotated[str, typer.Option(help="Whose: as `accounts list` names it.")] = "local",
) -> None:
    """Say what chats of an account may do with memories; without options, show it."""
    wanted: AccountChange = {}
    if recall is not None:
        wanted["recall"] = recall
    if remember is not None:
        wanted["remember"] = remember
    now = client.change_account(account, **wanted).settings
    print(f"recall: {'on' if now.recall else 'off'}\nremember: {'on' if now.remember else 'off'}")


def _line(text: str) -> str:
    """Of at most 100 characters."""
    whole = clean(" ".join(text.split()))
    return whole if len(whole) <= 100 else whole[:99] + "…"


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()

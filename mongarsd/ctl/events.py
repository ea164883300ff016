"""`mongarsctl events`: what happens on the node, as it happens."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import msgspec

from mongarsd.client import Client, Lost
from mongarsd.ctl.app import Json, examples
from mongarsd.ctl.changes import Change, changes
from mongarsd.ctl.connect import connected
from mongarsd.ctl.terminal import DIM, RED, YELLOW, clean, paint
from mongarsd.ground.status import NodeStatus

EXAMPLES = examples(
    "mongarsctl events                   # until Ctrl-C",
    "mongarsctl events --json | jq -r 'select(.what == \"failed\").about'",
)
_COLOURS = {"failed": RED, "lost": RED, "warning": YELLOW, "throttled": YELLOW, "restarted": YELLOW}


@connected
def events(client: Client, json: Json = False) -> None:
    """Show what happens on the node, a line for each event, until Ctrl-C.

    When the node goes away it is waited for.
    """
    with client.session(patience=math.inf) as session, session.node() as looks:
        for change in told(looks):
            print(_json(change) if json else _line(change), flush=True)


def told(looks: Iterator[NodeStatus | Lost]) -> Iterator[Change]:
    """The changes that looks at a node show; also when nobody could look."""
    before: NodeStatus | None = None
    away = False
    for look in looks:
        if isinstance(look, Lost):
            if not away:
                yield Change("lost", f"{look.why}; connecting again")
            away = True
            continue
        if away and before and before.pid == look.pid:
            yield Change("found", "connected again")
        away = False
        yield from changes(before, look)
        before = look


def _line(change: Change) -> str:
    text = clean(f"{change.about}: {change.text}" if change.about else change.text)
    return f"{paint(time.strftime('%H:%M:%S'), DIM)}  {paint(text, _COLOURS.get(change.what, '0'))}"


def _json(change: Change) -> str:
    return msgspec.json.encode({"at": round(time.time(), 3)} | msgspec.to_builtins(change)).decode()

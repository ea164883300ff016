"""`mongarsctl status`: what the node is doing, and why it is set so."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer

from mongarsd.client import Client
from mongarsd.ctl.app import Json, examples
from mongarsd.ctl.connect import connected
from mongarsd.ctl.terminal import BOLD, GREEN, RED, YELLOW, clean, paint, pairs, width, wrap
from mongarsd.ctl.units import rate, size, span
from mongarsd.ground.status import BoardStatus, ModelStatus, NodeStatus

EXAMPLES = examples(
    "mongarsctl status",
    "mongarsctl status --watch          # again every 2 seconds, until Ctrl-C",
    "mongarsctl status --watch 10       # every 10 seconds",
    "mongarsctl status --json | jq .models",
)
EVERY = 2.0  # seconds
_HOME_AND_CLEAR = "\x1b[H\x1b[J"
_STATES = {
    "ready": GREEN,
    "loading": YELLOW,
    "restarting": YELLOW,
    "failed": RED,
}


@connected
def status(
    client: Client,
    seconds: Annotated[
        float | None, typer.Argument(metavar="[SECONDS]", min=0.2, help="With --watch: the time between two looks.")
    ] = None,
    json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again and again, until Ctrl-C.")] = False,
) -> None:
    """Show what the node is doing, and why it is set so."""
    again = watch or seconds is not None
    clear = again and not json and sys.stdout.isatty()
    while True:
        node = client.status()
        if json:
            encoded = msgspec.json.encode(node)
            text = (encoded if again else msgspec.json.format(encoded, indent=2)).decode()
        else:
            text = "\n".join(render(node, width()))
        print((_HOME_AND_CLEAR if clear else "") + text, flush=True)
        if not again:
            return
        if not clear and not json:
            print()
        time.sleep(seconds or EVERY)


def render(node: NodeStatus, columns: int) -> Iterator[str]:
    """The lines for a person; every string of the daemon is cleaned."""
    yield paint(f"mongarsd {clean(node.version)} on {clean(node.board.name)}", BOLD)
    listen = ", ".join(f"http://{clean(address)}" for address in node.listen) or "nowhere"
    daemon = [
        ("Running", f"for {span(node.uptime)}, process {node.pid}, {size(node.memory)} of memory"),
        ("Listening", listen),
        ("State", clean(node.state_dir)),
    ]
    yield from pairs([*daemon, *_board(node.board)], columns=columns)
    for warning in node.warnings:
        yield from wrap(paint("Warning: ", YELLOW) + clean(warning), "  ", columns)
    yield ""
    yield paint("Models", BOLD)
    if node.fetching:
        yield f"  {clean(node.fetching)}: {paint('being fetched', YELLOW)}"
    elif not node.models:
        yield "  none: get one with `mongarsctl models pull NAME`"
    for model in node.models:
        yield from _model(model, columns)
    if node.recommendation:
        yield ""
        yield paint("Settings chosen for this board", BOLD)
        rows = [(clean(knob.name), clean(f"{knob.value}: {knob.why}")) for knob in node.recommendation]
        yield from pairs(rows, columns=columns)


def _board(board: BoardStatus) -> list[tuple[str, str]]:
    temperature = "no sensor" if board.temperature is None else f"{board.temperature:.0f} °C"
    throttled = paint(f"slowed down: {clean(board.throttled)}", RED) if board.throttled else "not slowed down"
    return [
        ("Cores", f"{board.cores}, load {board.load:.1f}"),
        ("Memory", f"{size(board.memory_available)} of {size(board.memory_total)} free"),
        ("Temperature", f"{temperature}, {throttled}"),
    ]


def _model(model: ModelStatus, columns: int) -> Iterator[str]:
    state = model.state.replace("_", " ")
    line = f"  {clean(model.name)}: {paint(state, _STATES.get(model.state, '0'))}, {size(model.size)}"
    yield line + (f", {clean(model.quantization)}" if model.quantization else "")
    if model.reduced:
        yield from wrap(paint(clean(model.reduced), YELLOW), "    ", columns)
    for warning in model.warnings:
        yield from wrap(paint("Warning: ", YELLOW) + clean(warning), "    ", columns)
    if model.error:
        yield from wrap(clean(model.error), "    ", columns)
    if model.state not in ("ready", "restarting"):
        return
    leaves = "" if model.expires_in is None else f", is unloaded in {span(model.expires_in)}"
    rows = [
        ("Slots", f"{model.busy_slots} of {model.slots} busy, {model.context} tokens each"),
        ("Queue", f"{model.queued} waiting"),
        ("Speed", f"{rate(model.decode_rate)} writing, {rate(model.prefill_rate)} reading"),
        ("Memory", f"{size(model.memory)}, {model.cached_tokens} tokens cached"),
        ("Worker", f"process {model.pid}, {_times(model.restarts)}, {_rest(model)}{leaves}"),
    ]
    if model.computes:
        rows.append(("Computed by", clean(model.computes)))
    if model.threads:
        why = f": {clean(model.threads_why)}" if model.threads_why else ""
        rows.insert(3, ("Threads", f"{model.threads}{why}"))
    yield from pairs(rows, "    ", columns)


def _rest(model: ModelStatus) -> str:
    return "at work" if model.busy_slots else f"idle for {span(model.idle_for)}"


def _times(restarts: int) -> str:
    return "never restarted" if not restarts else "restarted once" if restarts == 1 else f"restarted {restarts} times"

"""What happened between two looks at a node, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct, structs

from mongarsd.ctl.units import many, size
from mongarsd.ground.status import ModelStatus, NodeStatus


class Change(Struct, frozen=True, omit_defaults=True):
    """`what` is for programs: a word of a fixed set; `about` names a model, "" = the node."""

    what: str
    text: str
    about: str = ""


def changes(before: NodeStatus | None, now: NodeStatus) -> Iterator[Change]:
    """`before`: None at the first look, which tells what is the case. What was started anew remembers nothing."""
    if before is None or before.pid != now.pid:
        how = "runs" if before is None else "was started anew"
        yield Change("started", f"mongarsd {now.version} {how}, process {now.pid}")
    known = {model.name: model for model in before.models} if before else {}
    for model in now.models:
        old = known.pop(model.name, None)
        if old is None:
            if before:
                yield Change("installed", f"is installed, {size(model.size)}", model.name)
            old = structs.replace(model, **_RESTING)
        elif before and before.pid != now.pid:
            old = structs.replace(old, **_RESTING)
        yield from _model(old, model)
    for name in known:
        yield Change("removed", "is removed from the disk", name)
    yield from _warnings(before.warnings if before else (), now.warnings)
    throttled = before.board.throttled if before else ""
    if now.board.throttled and now.board.throttled != throttled:
        yield Change("throttled", f"the board slows itself down: {now.board.throttled}")
    elif throttled and not now.board.throttled:
        yield Change("unthrottled", "the board is at full speed again")


#: What a model is that nobody has asked for.
_RESTING = {"state": "on_disk", "error": "", "busy_slots": 0, "queued": 0, "restarts": 0, "reduced": "", "warnings": ()}


def _model(old: ModelStatus, now: ModelStatus) -> Iterator[Change]:
    if now.restarts > old.restarts and (now.state != "restarting" or old.state == "restarting"):
        yield Change("restarted", f"its worker was restarted, {_times(now.restarts)} by now", now.name)
    if (now.state, now.error) != (old.state, old.error):
        what, text = {
            "on_disk": ("unloaded", "is unloaded"),
            "loading": ("loading", "is being loaded"),
            "ready": ("ready", f"is ready: {many(now.slots, 'slot')} of {now.context} tokens"),
            "restarting": ("restarting", "its worker is being restarted"),
            "failed": ("failed", f"failed: {now.error}"),
        }[now.state]
        yield Change(what, text, now.name)
    if now.reduced and now.reduced != old.reduced:
        yield Change("reduced", now.reduced, now.name)
    yield from _warnings(old.warnings, now.warnings, now.name)
    if (now.busy_slots, now.queued) != (old.busy_slots, old.queued):
        yield Change("busy" if now.busy_slots or now.queued else "idle", _load(now), now.name)


def _load(model: ModelStatus) -> str:
    if not model.busy_slots and not model.queued:
        return "is idle"
    return f"{model.busy_slots} of {model.slots} slots busy" + (f", {model.queued} waiting" if model.queued else "")


def _warnings(old: Sequence[str], now: Sequence[str], about: str = "") -> Iterator[Change]:
    for text in now:
        if text not in old:
            yield Change("warning", f"warning: {text}", about)
    for text in old:
        if text not in now:
            yield Change("warning_over", f"no longer: {text}", about)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, get_args

import msgspec
import pytest
from fakes.control_daemon import MODEL, NODE, ON_DISK
from fakes.daemon_process import MODEL as DEFAULT
from fakes.daemon_process import DaemonProcess, running
from fakes.terminal import CTRL_C, Terminal
from hypothesis import assume, given
from hypothesis import strategies as st

from mongarsd.client import Client, Lost
from mongarsd.ctl.changes import changes
from mongarsd.ctl.events import _line, told
from mongarsd.ground.status import ModelStatus, NodeStatus

Run = Callable[..., tuple[int, str, str]]
MAIN = [sys.executable, "-c", "from mongarsd.ctl.main import main; main()", "events"]
CALM = msgspec.structs.replace(NODE, warnings=(), models=(ON_DISK,))


def node(**model: Any) -> NodeStatus:
    return msgspec.structs.replace(CALM, models=(msgspec.structs.replace(ON_DISK, **model),))


def what(before: NodeStatus | None, now: NodeStatus) -> list[str]:
    return [change.what for change in changes(before, now)]


def test_the_first_look_tells_what_is_the_case() -> None:
    assert [change.text for change in changes(None, NODE)] == [
        "mongarsd 0.1.0 runs, process 812",
        "its worker was restarted, once by now",
        "is ready: 8 slots of 2048 tokens",
        "2 of 8 slots busy, 3 waiting",
        "warning: the clock was set back by 3 h",
    ]
    assert what(None, CALM) == ["started"]


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        (node(), node(state="loading"), "is being loaded"),
        (node(state="loading"), node(state="ready", slots=8, context=2048), "is ready: 8 slots of 2048 tokens"),
        (node(state="loading"), node(state="ready", slots=1, context=256), "is ready: 1 slot of 256 tokens"),
        (node(state="ready"), node(state="restarting"), "its worker is being restarted"),
        (node(state="ready"), node(state="ready", restarts=2), "its worker was restarted, 2 times by now"),
        (node(state="loading"), node(state="failed", error="too big"), "failed: too big"),
        (node(state="failed", error="too big"), node(state="failed", error="damaged"), "failed: damaged"),
        (node(state="ready"), node(), "is unloaded"),
        (node(slots=8), node(slots=8, busy_slots=3, queued=2), "3 of 8 slots busy, 2 waiting"),
        (node(busy_slots=3), node(), "is idle"),
        (node(), node(reduced="fewer slots"), "fewer slots"),
        (node(), node(warnings=("slow",)), "warning: slow"),
        (node(warnings=("slow",)), node(), "no longer: slow"),
    ],
)
def test_what_a_model_does(before: NodeStatus, now: NodeStatus, found: str) -> None:
    (change,) = changes(before, now)
    assert (change.text, change.about) == (found, ON_DISK.name)


def test_what_the_node_does() -> None:
    hot = msgspec.structs.replace(CALM, board=msgspec.structs.replace(CALM.board, throttled="too hot"))
    assert what(CALM, hot) == ["throttled"]
    assert what(hot, CALM) == ["unthrottled"]
    assert what(CALM, msgspec.structs.replace(CALM, warnings=("full",))) == ["warning"]
    assert what(CALM, msgspec.structs.replace(CALM, models=(ON_DISK, MODEL)))[0] == "installed"
    assert what(CALM, msgspec.structs.replace(CALM, models=())) == ["removed"]
    busy = msgspec.structs.replace(CALM, models=(msgspec.structs.replace(MODEL, restarts=0),))
    anew = msgspec.structs.replace(busy, pid=7)
    assert what(busy, anew) == ["started", "ready", "busy"]


(STATES,) = (get_args(field.type) for field in msgspec.structs.fields(ModelStatus) if field.name == "state")
states = st.builds(
    node,
    state=st.sampled_from(STATES),
    busy_slots=st.integers(0, 2),
    queued=st.integers(0, 1),
    restarts=st.integers(0, 2),
    error=st.sampled_from(["", "x"]),
    warnings=st.sampled_from([(), ("w",)]),
)


@given(states, states)
def test_only_what_changes_is_told(before: NodeStatus, now: NodeStatus) -> None:
    assert what(now, now) == []
    assume(before.models[0].restarts <= now.models[0].restarts)  # unloading begins to count anew
    assert bool(what(before, now)) == (before != now)


def test_a_connection_that_is_lost_is_told_once_and_found_again() -> None:
    looks = [CALM, Lost("it broke"), Lost("again"), CALM, Lost("gone"), msgspec.structs.replace(CALM, pid=9)]
    assert [change.what for change in told(iter(looks))] == ["started", "lost", "found", "lost", "started"]


def test_a_hostile_daemon_cannot_paint() -> None:
    evil = "\x1b]0;owned\x07\x9b2J\nname"
    bad = msgspec.structs.replace(CALM, version=evil, models=(msgspec.structs.replace(MODEL, name=evil, error=evil),))
    for change in changes(None, bad):
        assert not set(_line(change)) & set("\x1b\x07\x9b\n")


def test_no_daemon(run: Run) -> None:
    code, out, err = run("events")
    assert (code, out) == (3, "")
    assert "not running" in err


@pytest.fixture
def daemon_process() -> Iterator[DaemonProcess]:
    with running() as daemon:
        yield daemon


def test_events_come_as_they_happen_and_over_a_restart(daemon_process: DaemonProcess) -> None:
    environ = {**os.environ, "MONGARSD_SOCKET": str(daemon_process.control), "TERM": "xterm", "NO_COLOR": "1"}
    client = Client(socket=daemon_process.control)
    client.load(DEFAULT)
    with Terminal([*MAIN], environ) as screen:
        screen.until(f"process {daemon_process.process.pid}")
        screen.until(f"{DEFAULT}: is ready")
        client.unload(DEFAULT)
        screen.until(f"{DEFAULT}: is unloaded")
        daemon_process.process.terminate()
        daemon_process.wait()
        screen.until("connecting again")
        second = DaemonProcess(daemon_process.folder)
        try:
            screen.until(f"was started anew, process {second.process.pid}")
            assert screen.end(CTRL_C) == 130
        finally:
            second.close()
    assert "Traceback" not in screen.screen


def test_json_is_a_line_an_event(daemon_process: DaemonProcess) -> None:
    environ = {**os.environ, "MONGARSD_SOCKET": str(daemon_process.control), "TERM": "xterm"}
    with Terminal([*MAIN, "--json"], environ) as screen:
        line = screen.until("}")
        found = json.loads(line[line.index("{") :])
        assert screen.end(CTRL_C) == 130
    assert (found["what"], found["at"] > 1e9) == ("started", True)

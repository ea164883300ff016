from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes.control_daemon import MODEL, NODE, FakeDaemon

from mongarsd.client import Client
from mongarsd.ctl.doctor import facts as facts_module
from mongarsd.ctl.doctor.checks import diagnose
from mongarsd.ctl.doctor.facts import Disk, Facts, Port, Service, gather
from mongarsd.ctl.doctor.finding import Level

Run = Callable[..., tuple[int, str, str]]
NOW = 1_800_000_000.0
QUIET = msgspec.structs.replace(NODE, warnings=(), models=(msgspec.structs.replace(MODEL, restarts=0),))
WELL = Facts(
    node=QUIET,
    service=Service("active", "enabled", "success"),
    settings_code=0,
    ports=(Port("127.0.0.1:8420", answers=True, taken=True),),
    disk=Disk("/var/lib/mongarsd", 20_000_000_000),
    now=NOW,
    synchronised=True,
)
DOWN = msgspec.structs.replace(
    WELL,
    node=None,
    refusal="not running",
    memory_total=8_000_000_000,
    memory_available=7_000_000_000,
    machine="aarch64",
)


def levels(facts: Facts, **changes: Any) -> dict[str, str]:
    """The worst level of each subject that is not ok."""
    findings = diagnose(msgspec.structs.replace(facts, **changes))
    assert all(finding.text for finding in findings)
    return {finding.subject: str(finding.level) for finding in findings if finding.level is not Level.OK}


def node(**changes: Any) -> dict[str, Any]:
    return {"node": msgspec.structs.replace(QUIET, **changes)}


def board(**changes: Any) -> dict[str, Any]:
    return node(board=msgspec.structs.replace(QUIET.board, **changes))


def model(**changes: Any) -> dict[str, Any]:
    return node(models=(msgspec.structs.replace(QUIET.models[0], **changes),))


def test_all_is_well() -> None:
    assert levels(WELL) == {}


NAME = f"model {MODEL.name}"
PORT = "port 127.0.0.1:8420"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        (node(warnings=("w",)), {"daemon": "warning"}),
        ({"service": Service("failed", "enabled", "exit-code")}, {"service": "fault"}),
        ({"service": Service("active", "disabled")}, {"service": "warning"}),
        ({"service": Service("active", "enabled", "success", 3)}, {"service": "warning"}),
        ({"service": None}, {}),
        ({"settings_code": 2, "settings_errors": "a\nb"}, {"settings": "fault"}),
        ({"settings_code": 2, "settings_errors": "a", "settings_readable": False}, {"settings": "note"}),
        ({"settings_code": None, "settings_errors": "no program"}, {"settings": "note"}),
        ({"ports": (Port("127.0.0.1:8420", answers=False, taken=True),)}, {PORT: "fault"}),
        (node(models=()), {"models": "fault"}),
        (node(models=(), fetching="tiny"), {"models": "note"}),
        (model(state="failed", error="x", pid=None), {NAME: "fault"}),
        (model(restarts=2), {NAME: "warning"}),
        (model(state="on_disk", pid=None), {NAME: "note"}),
        ({"bits": 32}, {"board": "fault"}),
        (board(throttled="under-voltage"), {"power": "warning"}),
        (board(temperature=81.0), {"temperature": "warning"}),
        (board(temperature=None), {}),
        (board(memory_available=100_000_000), {}),  # the model is loaded: that is where it went
        ({"disk": Disk("/x", 100_000_000)}, {"disk": "fault"}),
        ({"disk": Disk("/x", 1_000_000_000)}, {"disk": "warning"}),
        ({"disk": None}, {}),
        ({"now": 0.0}, {"clock": "fault"}),
        ({"synchronised": False}, {"clock": "note"}),
        ({"synchronised": None}, {}),
    ],
)
def test_what_is_wrong(changes: dict[str, Any], found: dict[str, str]) -> None:
    assert levels(WELL, **changes) == found


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"ports": (Port("127.0.0.1:8420", answers=False, taken=False),)}, {PORT: "note"}),
        ({"ports": (Port("127.0.0.1:8420", answers=True, taken=True),)}, {PORT: "fault"}),
        ({"denied": True}, {}),
        ({"memory_available": 100_000_000, "denied": True}, {"memory": "warning"}),
        ({"memory_total": 0, "denied": True}, {}),
        ({"temperature": 85.0, "denied": True}, {"temperature": "warning"}),
        ({"disk": Disk("/home/u/.local", 10**10, writable=False), "denied": True}, {"disk": "fault"}),
    ],
)
def test_what_is_wrong_when_the_daemon_is_down(changes: dict[str, Any], found: dict[str, str]) -> None:
    assert levels(DOWN, **changes) == {"daemon": "fault", **found}


def test_every_fault_and_warning_of_the_board_says_what_to_do() -> None:
    sick = msgspec.structs.replace(
        DOWN,
        service=Service("failed", "enabled"),
        ports=(Port("127.0.0.1:8420", answers=False, taken=True),),
        bits=32,
        temperature=90.0,
        memory_available=1,
        disk=Disk("/x", 1),
        now=0.0,
    )
    bad = [finding for finding in diagnose(sick) if finding.level in (Level.FAULT, Level.WARNING)]
    assert [finding.subject for finding in bad if not finding.remedy] == ["daemon"]  # its text says it
    assert len(bad) == 8


def pi(root: Path) -> Path:
    for name, text in {
        "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        "proc/meminfo": "MemTotal:        3884360 kB\nMemFree: 1 kB\nMemAvailable:    3000000 kB\nHugePages_Total: 0\n",
        "sys/class/thermal/thermal_zone0/temp": "48200\n",
        "sys/class/thermal/thermal_zone1/temp": "nonsense\n",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "run/systemd/timesync").mkdir(parents=True)
    return root


def test_gather_reads_the_machine_when_the_daemon_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        monkeypatch.setattr(facts_module, "_settings", lambda: (0, "", (address,)))
        monkeypatch.setattr(facts_module, "PROBE", 0.1)
        seen = gather(Client(socket=tmp_path / "none.sock"), pi(tmp_path / "root"), {"HOME": str(tmp_path)})
    assert seen.node is None
    assert "not running" in seen.refusal
    assert seen.board == "Raspberry Pi 4 Model B Rev 1.4"
    assert (seen.memory_total, seen.memory_available) == (3_884_360 * 1024, 3_000_000 * 1024)
    assert seen.temperature == 48.2
    assert seen.synchronised is False
    assert seen.ports == (Port(address, answers=False, taken=True),)
    assert seen.disk is not None
    assert seen.disk.path == f"{tmp_path}/.local/state/mongarsd"


def test_gather_looks_at_the_ports_the_daemon_names(daemon: FakeDaemon, tmp_path: Path) -> None:
    with FakeDaemon() as tcp:
        port = tcp.url.rpartition(":")[2]
        daemon.answers["GET /admin/status"] = (200, msgspec.structs.replace(QUIET, listen=(f"0.0.0.0:{port}",)))
        seen = gather(Client(socket=tmp_path / "control.sock"), tmp_path)
    assert seen.ports == (Port(f"0.0.0.0:{port}", answers=True, taken=True),)
    assert (seen.memory_total, seen.temperature, seen.synchronised, seen.service) == (0, None, None, None)


def test_another_machine_is_not_looked_into() -> None:
    with FakeDaemon() as tcp:
        seen = gather(Client(tcp.url))
    assert seen.node == NODE
    assert seen.ports == ()
    assert seen.settings_code is None


def test_another_machine_that_shows_only_its_readiness() -> None:
    with FakeDaemon() as tcp:
        del tcp.answers["GET /admin/status"]
        tcp.answers["GET /readyz"] = (503, {"status": "not ready", "checks": {"model": "loading", "database": "ok"}})
        found = diagnose(gather(Client(tcp.url)))
    assert [(finding.subject, str(finding.level)) for finding in found] == [
        ("daemon", "ok"),
        ("daemon", "note"),
        ("model", "warning"),
        ("database", "ok"),
        ("clock", "ok"),
    ]


def test_the_command_works_without_a_daemon(run: Run) -> None:
    code, out, err = run("doctor")
    assert (code, err) == (1, "")
    assert out.startswith("FAULT  daemon: mongarsd is not running")
    assert "ok     settings: valid" in out
    assert max(map(len, out.splitlines())) <= 80 or "/" in out  # a path may be longer than the line


def test_the_command_as_json(run: Run) -> None:
    code, out, _ = run("doctor", "--json")
    assert code == 1
    assert {"subject", "level", "text", "remedy"} == set(json.loads(out)[0])

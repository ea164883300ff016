from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import pytest
from fakes.control_daemon import MODEL, NODE, FakeDaemon

from mongarsd.ctl import status
from mongarsd.ground.status import BoardStatus, ModelStatus, NodeStatus

Run = Callable[..., tuple[int, str, str]]


def test_everything_is_said_in_80_columns(daemon: FakeDaemon, run: Run) -> None:
    code, out, err = run("status")
    assert (code, err) == (0, "")
    for word in (
        "Raspberry Pi 5",
        "3 h 12 min",
        "http://127.0.0.1:8420",
        "61 °C",
        "3.1 GB of 8.3 GB free",
        "ready",
        "2 of 8 busy",
        "3 waiting",
        "120 t/s writing, 431 t/s reading",
        "at work",
        "1204 tokens cached",
        "restarted once",
        "qwen2.5-0.5b: on disk",
        "blocks of 4 rows",
        "Warning: the clock",
    ):
        assert word in out
    assert max(map(len, out.splitlines())) <= 80
    assert "\x1b" not in out


def test_what_computes_a_model_and_what_its_file_lacks_is_said() -> None:
    model = ModelStatus(
        name="m", digest="d", size=1, state="ready", computes="onnxruntime 1 CPU: no other", warnings=("slow matrices",)
    )
    text = "\n".join(status.render(msgspec.structs.replace(NODE, models=(model,)), 80))
    assert "onnxruntime 1 CPU: no other" in text
    assert "Warning: slow matrices" in text


def test_json_is_the_whole_status(daemon: FakeDaemon, run: Run) -> None:
    code, out, _ = run("status", "--json")
    assert code == 0
    assert msgspec.json.decode(out, type=NodeStatus) == NODE


@pytest.mark.parametrize("arguments", [("--watch", "0.2"), ("-w", "0.2"), ("0.2",)])
def test_watch_looks_again_until_the_daemon_goes(
    daemon: FakeDaemon, run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            daemon.answers["GET /admin/status"] = (500, {"error": "gone"})

    monkeypatch.setattr(status.time, "sleep", sleep)
    code, out, err = run("status", "--json", *arguments)
    assert [json.loads(line)["pid"] for line in out.splitlines()] == [812] * 3
    assert naps == [0.2] * 3
    assert (code, err) == (1, "mongarsctl: gone\n")


def test_ctrl_c_ends_a_watch(daemon: FakeDaemon, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(status.time, "sleep", sleep)
    assert run("status", "--watch")[0] == 130


def test_a_hostile_daemon_cannot_paint() -> None:
    evil = "\x1b]0;owned\x07\x9b2J\nname"
    node = NodeStatus(
        version=evil,
        pid=1,
        uptime=1,
        listen=(evil,),
        state_dir=evil,
        memory=1,
        board=BoardStatus(name=evil, cores=1, memory_total=1, memory_available=1, throttled=evil),
        models=(ModelStatus(name=evil, digest=evil, size=1, quantization=evil, state="failed", error=evil),),
        recommendation=(),
        warnings=(evil,),
    )
    lines = list(status.render(node, 80))
    assert not any(set(line) & set("\x1b\x07\x9b\n") for line in lines)


def test_a_node_without_models_and_sensors() -> None:
    node = msgspec.structs.replace(
        NODE, models=(), board=msgspec.structs.replace(NODE.board, temperature=None), recommendation=(), listen=()
    )
    text = "\n".join(status.render(node, 80))
    assert "models pull" in text
    assert "no sensor" in text
    text = "\n".join(status.render(msgspec.structs.replace(node, fetching="tiny"), 80))
    assert "tiny: being fetched" in text
    assert "models pull" not in text


def test_a_model_says_when_it_leaves() -> None:
    model = msgspec.structs.replace(MODEL, expires_in=290.0, restarts=0)
    text = "\n".join(status.render(msgspec.structs.replace(NODE, models=(model,)), 120))
    assert "unloaded in 4 min 50 s" in text
    assert "never restarted" in text
    assert "idle" not in text
    idle = msgspec.structs.replace(MODEL, busy_slots=0)
    assert "idle for 12 s" in "\n".join(status.render(msgspec.structs.replace(NODE, models=(idle,)), 120))

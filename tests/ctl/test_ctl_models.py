from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from fakes.control_daemon import MODEL, NODE, FakeDaemon, ndjson
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.client import Client
from mongarsd.ctl import asking, models
from mongarsd.ctl.pulling import Bar
from mongarsd.ground.clock import FakeClock
from mongarsd.ground.status import AvailableModel, PullProgress

Run = Callable[..., tuple[int, str, str]]
NAME = MODEL.name


def test_list_is_aligned(daemon: FakeDaemon, run: Run) -> None:
    code, out, _ = run("models", "list")
    assert code == 0
    header, first, second = out.splitlines()
    assert header.split() == ["NAME", "STATE", "SIZE", "PARAMETERS", "QUANT", "LICENCE"]
    assert first.split()[:4] == [NAME, "ready", "91.7", "MB"]
    assert second.index("on disk") == first.index("ready") == header.index("STATE")


def test_what_could_be_pulled(daemon: FakeDaemon, run: Run) -> None:
    entry = AvailableModel(
        name="big", title="Big", parameters=10**9, context=64, size=None, ram=2 * 10**9, licence="MIT", installed=False
    )
    daemon.answers["GET /admin/catalogue"] = (200, [entry])
    header, line = run("models", "list", "--available")[1].splitlines()
    assert header.split() == ["NAME", "HERE", "SIZE", "MEMORY", "PARAMETERS", "LICENCE"]
    assert line.split()[:5] == ["big", "-", "-", "2", "GB"]
    assert json.loads(run("models", "list", "--available", "--json")[1])[0]["name"] == "big"


def test_list_json_and_empty(daemon: FakeDaemon, run: Run) -> None:
    assert [model["name"] for model in json.loads(run("models", "list", "--json")[1])] == [NAME, "qwen2.5-0.5b"]
    daemon.answers["GET /admin/models"] = (200, [])
    code, out, err = run("models", "list")
    assert (code, out) == (0, "")
    assert "models pull" in err


def test_show(daemon: FakeDaemon, run: Run) -> None:
    code, out, _ = run("models", "show", NAME)
    assert code == 0
    for word in ("135 M", "Q4_0", "Apache-2.0", "8192 tokens", MODEL.digest, "4711"):
        assert word in out
    assert json.loads(run("models", "show", NAME, "--json")[1])["digest"] == MODEL.digest


def test_show_of_an_unknown_model(daemon: FakeDaemon, run: Run) -> None:
    daemon.answers["GET /admin/models/nix"] = (404, {"error": {"message": "there is no model nix"}})
    assert run("models", "show", "nix") == (4, "", "mongarsctl: there is no model nix\n")


def test_pull_prints_plain_lines_without_a_terminal(daemon: FakeDaemon, run: Run) -> None:
    steps = [{"status": "fetching", "total": 1000, "completed": done} for done in range(0, 1001, 10)]
    daemon.answers["POST /admin/models/pull"] = ndjson(*steps, {"status": "verifying"}, {"status": "success"})
    code, out, err = run("models", "pull", NAME, "--name", "mine")
    assert (code, out) == (0, "mine is ready.\n")
    lines = err.splitlines()
    assert len(lines) == 12
    assert lines[0] == "mine: fetching: 0 B of 1 kB"
    assert lines[-1] == "mine: verifying"
    assert daemon.requests[-1].body == {"ref": NAME, "name": "mine"}


@pytest.mark.parametrize(
    ("lines", "code", "words"),
    [
        ([{"status": "fetching"}, {"status": "error", "error": "no such\x1b model"}], 1, "no such model"),
        ([{"status": "fetching"}], 3, "went away"),
        ([], 3, "went away"),
    ],
)
def test_a_pull_that_fails(daemon: FakeDaemon, run: Run, lines: list[dict[str, str]], code: int, words: str) -> None:
    daemon.answers["POST /admin/models/pull"] = ndjson(*lines)
    result, out, err = run("models", "pull", NAME)
    assert (result, out) == (code, "")
    assert words in err
    assert "\x1b" not in err


def test_a_file_is_named_in_full(daemon: FakeDaemon, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.gguf").touch()
    daemon.answers["POST /admin/models/pull"] = ndjson({"status": "success"})
    for ref in ("file:m.gguf", "m.gguf", "./m.gguf", f"file:{tmp_path}/m.gguf"):
        assert run("models", "pull", ref)[0] == 0
        assert daemon.requests[-1].body["ref"] == f"file:{tmp_path}/m.gguf"


def test_rm_asks(daemon: FakeDaemon, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon.answers[f"DELETE /admin/models/{NAME}"] = (204, b"")
    daemon.answers[f"POST /admin/models/{NAME}/unload"] = (200, MODEL)
    code, _, err = run("models", "rm", NAME)
    assert code == 2
    assert "--yes" in err
    monkeypatch.setattr(asking, "person", lambda: True)
    assert run("models", "rm", NAME, stdin="n\n")[0] == 1
    assert not [request for request in daemon.requests if request.method == "DELETE"]
    code, out, err = run("models", "rm", NAME, stdin="y\n")
    assert code == 0
    assert out.endswith(f"{NAME} is removed.\n")
    assert "its running answers end" in err
    assert [request.method for request in daemon.requests[-2:]] == ["POST", "DELETE"]  # unloaded first
    assert run("models", "rm", NAME, "--yes")[0] == 0


def test_rm_of_a_model_on_disk(daemon: FakeDaemon, run: Run) -> None:
    daemon.answers["DELETE /admin/models/qwen2.5-0.5b"] = (204, b"")
    assert run("models", "rm", "qwen2.5-0.5b", "-y")[0] == 0


def test_rm_of_nothing_does_not_ask(daemon: FakeDaemon, run: Run) -> None:
    assert run("models", "rm", "nix")[0] == 4


def test_load_and_unload(daemon: FakeDaemon, run: Run) -> None:
    daemon.answers[f"POST /admin/models/{NAME}/load"] = (200, MODEL)
    daemon.answers[f"POST /admin/models/{NAME}/unload"] = (204, b"")
    code, out, _ = run("models", "load", NAME)
    assert (code, out) == (0, f"{NAME} is ready: 8 slots of 2048 tokens, 412 MB.\n")
    assert run("models", "unload", NAME)[:2] == (0, f"{NAME} is unloaded.\n")


def test_load_of_what_does_not_fit(daemon: FakeDaemon, run: Run) -> None:
    daemon.answers[f"POST /admin/models/{NAME}/load"] = (
        507,
        {"error": {"message": "needs 9 GB", "code": "does_not_fit"}},
    )
    code, out, err = run("models", "load", NAME)
    assert (code, out) == (1, "")
    assert "needs 9 GB" in err


def test_a_bar_on_a_terminal(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [{"status": "fetching", "total": 1000, "completed": done} for done in (0, 500, 1000)]
    daemon.answers["POST /admin/models/pull"] = ndjson(*steps, {"status": "verifying"}, {"status": "success"})
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as screen, os.fdopen(master, "rb", buffering=0) as seen:
        monkeypatch.setattr("sys.stderr", screen)
        monkeypatch.setenv("TERM", "xterm")
        models.follow(NAME, Client(socket=str(daemon._server.server_address)).pull(NAME))
        screen.flush()
        raw = b""
        while not (b"verifying" in raw and raw.endswith(b"\r\x1b[K")):  # a terminal gives what it has so far
            raw += seen.read(65_536)
        shown = raw.decode()
    assert "fetching [............]   0 %, 0 B of 1 kB" in shown
    assert "100 %, 1 kB of 1 kB" in shown
    assert "verifying …" in shown


@given(
    st.integers(0, 10**13), st.integers(0, 10**13), st.text(max_size=90), st.integers(41, 200), st.floats(0.0, 10.0**6)
)
def test_the_bar_never_wraps(total: int, done: int, status: str, columns: int, seconds: float) -> None:
    clock = FakeClock()
    bar = Bar(clock.monotonic)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        patch.setattr("sys.stderr", screen := io.StringIO())
        for completed in (0, min(done, total)):
            bar.show(PullProgress(status=status, total=total, completed=completed))
            clock.advance(seconds)
    assert all(len(picture) < columns for picture in screen.getvalue().split("\r\x1b[K"))
    assert "\n" not in screen.getvalue()


def complete(words: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the shell offers for the last of `words`, asked as bash asks."""
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    monkeypatch.setenv("_MONGARSCTL_COMPLETE", "complete_bash")
    code = "from mongarsd.ctl.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.split()


def test_the_tab_key_knows_the_models(daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete("mongarsctl models sh", monkeypatch) == ["show"]
    assert complete(f"mongarsctl models show --socket {tmp_path} smo", monkeypatch) == [NAME]
    monkeypatch.setenv("MONGARSD_SOCKET", str(tmp_path))
    assert complete("mongarsctl models rm ", monkeypatch) == [NAME, "qwen2.5-0.5b"]
    assert complete("mongarsctl models rm --url nonsense smo", monkeypatch) == []


def test_the_tab_key_is_silent_without_a_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete(f"mongarsctl models show --socket {tmp_path}/none smo", monkeypatch) == []


def test_facts_leave_out_what_is_not_known() -> None:
    rows = dict(models.facts(NODE.models[1]))
    assert set(rows) == {"Name", "State", "Size", "Digest"}
    assert dict(models.facts(msgspec.structs.replace(MODEL, expires_in=60.0)))["Unloaded"] == "in 1 min"
    embedding = msgspec.structs.replace(MODEL, kind="embedding", dimensions=384)
    assert dict(models.facts(embedding))["Embeds"] == "384 numbers a text"

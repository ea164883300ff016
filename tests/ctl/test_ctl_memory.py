from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from fakes.control_daemon import FakeDaemon

from mongarsd.ground.status import BackupFile, MemoryStatus

Run = Callable[..., tuple[int, str, str]]
BACKUP = BackupFile(name="mongars-2026-11-21-023000.db", bytes=2_000_000, made=1_760_000_000.0)
STATUS = MemoryStatus(
    path="/var/lib/mongarsd/mongars.db",
    bytes=3_000_000,
    schema=3,
    conversations=12,
    turns=340,
    writes=30,
    commits=10,
    backups=(BACKUP,),
    warnings=("the disk is full",),
)


def test_status(daemon: FakeDaemon, run: Run) -> None:
    daemon.answers["GET /admin/memory"] = (200, STATUS)
    code, out, _ = run("memory", "status")
    assert code == 0
    assert "12 conversations, 340 turns" in out
    assert "3.0 writes a sync" in out
    assert "the disk is full" in out
    assert BACKUP.name in out
    assert json.loads(run("memory", "status", "--json")[1])["turns"] == 340


def test_backup_and_restore(daemon: FakeDaemon, run: Run) -> None:
    daemon.answers["POST /admin/memory/backup"] = (200, BACKUP)
    daemon.answers["POST /admin/memory/restore"] = (200, BACKUP)
    assert BACKUP.name in run("memory", "backup")[1]
    assert run("memory", "restore", BACKUP.name)[0] == 0
    assert daemon.requests[-1].body == {"name": BACKUP.name}


def test_an_export_is_a_new_private_file(daemon: FakeDaemon, run: Run, tmp_path: Path) -> None:
    daemon.answers["GET /admin/memory/export?account=local&form=json"] = lambda _: iter((b'{"a":1}\n', b'{"b":2}\n'))
    file = tmp_path / "out.jsonl"
    assert run("memory", "export", "-o", str(file))[0] == 0
    assert file.read_text() == '{"a":1}\n{"b":2}\n'
    assert file.stat().st_mode & 0o777 == 0o600
    code, _, said = run("memory", "export", "-o", str(file))
    assert code == 1
    assert "cannot be written" in said


def test_a_refused_export_leaves_no_file(daemon: FakeDaemon, run: Run, tmp_path: Path) -> None:
    assert run("memory", "export", "-o", str(tmp_path / "out"))[0] != 0
    assert not (tmp_path / "out").exists()


def test_limit_says_what_holds_now(daemon: FakeDaemon, run: Run) -> None:
    settings = {"max_age": 30 * 86_400.0, "max_bytes": 5_000_000}
    daemon.answers["POST /admin/memory/accounts/local"] = (200, {"id": "local", "created": 0.0, "settings": settings})
    assert run("memory", "limit", "--days", "30")[1] == "local: kept for 30 days, 5 MB\n"
    assert daemon.requests[-1].body == {"max_age": 30 * 86_400.0}

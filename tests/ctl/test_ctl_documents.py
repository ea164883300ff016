"""`mongarsctl memory add` and `memory documents` against recorded answers; the plan of a sync for itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.control_daemon import FakeDaemon
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.client.calls.files import StoredFile
from mongarsd.client.form import FileForm
from mongarsd.ctl.sync import find, path_of, plan

Run = Callable[..., tuple[int, str, str]]
ROOT = Path("/notes")
NAMES = [ROOT / name for name in "abcde"]
DIGESTS = st.sampled_from(["sha256:1", "sha256:2"])


def stored(path: str, digest: str, status: str = "completed") -> StoredFile:
    return StoredFile(
        id=f"file-{path}-{digest}", status=status, filename=Path(path).name, digest=digest, attributes={"path": path}
    )


@given(
    st.dictionaries(st.sampled_from(NAMES), DIGESTS),
    st.lists(
        st.builds(
            stored, st.sampled_from([*map(str, NAMES), "/other/a", "", "a"]), DIGESTS,
            st.sampled_from(["completed", "failed", "in_progress"]),
        )
    ),
)  # fmt: skip
def test_after_a_sync_the_store_holds_what_the_folder_holds(local: dict[Path, str], files: list[StoredFile]) -> None:
    made = plan(ROOT, local, files)
    removed = {id(file) for file in (*made.stale, *made.gone)}
    after = [file for file in files if id(file) not in removed]
    after += [stored(str(path), local[path]) for path in (*made.new, *made.changed)]
    ours = [file for file in after if path_of(file).startswith("/notes/")]
    assert {(path_of(file), file.digest) for file in ours} == {(str(path), digest) for path, digest in local.items()}
    assert len(ours) == len(local)
    assert [file for file in files if not path_of(file).startswith("/notes/") and id(file) in removed] == []
    assert plan(ROOT, local, after) == ([], [], list(local), [], [])


def test_hidden_foreign_and_linked_files_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "sub" / ".git").mkdir(parents=True)
    for name in ("b.md", "a.TXT", "sub/c.pdf", "sub/.git/d.md", ".e.md", "f.jpg"):
        (tmp_path / name).write_text("x")
    (tmp_path / "link.md").symlink_to("/etc/passwd")
    assert find(tmp_path) == [tmp_path / "a.TXT", tmp_path / "b.md", tmp_path / "sub" / "c.pdf"]
    assert find(tmp_path / "f.jpg") == [tmp_path / "f.jpg"]


def test_a_file_that_becomes_shorter_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("12345")
    sent = FileForm(tmp_path / "a")
    (tmp_path / "a").write_text("12")
    with pytest.raises(OSError, match="shorter"):
        list(sent)


@pytest.mark.parametrize("data", [b"", b"x" * 200_000])
def test_a_form_is_as_long_as_it_says(tmp_path: Path, data: bytes) -> None:
    (tmp_path / 'a"\n.md').write_bytes(data)
    sent = FileForm(tmp_path / 'a"\n.md')
    assert len(b"".join(sent)) == sent.length


def store(**counts: int) -> dict[str, Any]:
    counts = {"in_progress": 0, "completed": 0, "failed": 0, "total": 0, **counts}
    return {"id": "vs_1", "name": "documents", "usage_bytes": 12_000, "file_counts": counts}


def page(*data: Any) -> tuple[int, Any]:
    return 200, {"object": "list", "data": data, "has_more": False, "last_id": None}


def entry(path: Path, status: str = "completed", error: str | None = None) -> dict[str, Any]:
    return {
        "id": f"file-{path.name}", "status": status, "filename": path.name, "usage_bytes": 5,
        "digest": "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "",
        "attributes": {"path": str(path)}, "last_error": error and {"code": "invalid_file", "message": error},
    }  # fmt: skip


def test_only_what_is_new_is_sent(daemon: FakeDaemon, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    for name in ("old.md", "new.md"):
        (folder / name).write_text(name)
    files = "/v1/vector_stores/vs_1/files"
    daemon.answers |= {
        "GET /v1/vector_stores?limit=100&order=asc": page(store()),
        f"GET {files}?limit=100&order=asc": page(entry(folder / "old.md"), entry(folder / "gone.md")),
        "POST /v1/files": (200, {"id": "file-new"}),
        f"POST {files}": (200, {"id": "file-new"}),
        "DELETE /v1/files/file-gone.md": (200, {"id": "file-gone.md"}),
        "GET /v1/vector_stores/vs_1": (200, store(completed=2)),
    }
    code, out, err = run("memory", "add", str(folder))
    assert (code, out) == (0, "1 new, 0 changed, 1 unchanged, 1 no longer in the folder\n"), err
    (sent,) = [request for request in daemon.requests if request.path == files and request.method == "POST"]
    assert sent.body == {"file_id": "file-new", "attributes": {"path": str(folder / "new.md")}}
    assert "DELETE" not in {request.method for request in daemon.requests}
    assert run("memory", "add", str(folder), "--remove")[1].endswith("1 removed\n")
    assert [request.path for request in daemon.requests if request.method == "DELETE"] == ["/v1/files/file-gone.md"]


def test_what_cannot_be_searched_is_a_failure(daemon: FakeDaemon, run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_text("x")
    failed = entry(tmp_path / "a.pdf", "failed", "it is damaged")
    daemon.answers |= {
        "GET /v1/vector_stores?limit=100&order=asc": page(),
        "POST /v1/vector_stores": (200, store()),
        "GET /v1/vector_stores/vs_1/files?limit=100&order=asc": page(failed),
        "POST /v1/files": (200, {"id": "file-new"}),
        "POST /v1/vector_stores/vs_1/files": (200, {"id": "file-new"}),
        "DELETE /v1/files/file-a.pdf": (200, {"id": "file-a.pdf"}),
        "GET /v1/vector_stores/vs_1": (200, store(failed=1)),
    }
    code, _, err = run("memory", "add", str(tmp_path / "a.pdf"))
    assert code == 1
    assert "a.pdf: it is damaged" in err


def test_a_file_that_is_refused_keeps_its_old_version_and_holds_up_no_other(
    daemon: FakeDaemon, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "a.md").write_text("grown")
    old = entry(tmp_path / "a.md") | {"digest": "sha256:old"}
    daemon.answers |= {
        "GET /v1/vector_stores?limit=100&order=asc": page(store()),
        "GET /v1/vector_stores/vs_1/files?limit=100&order=asc": page(old),
        "POST /v1/files": (413, {"error": {"message": "larger than 3 bytes", "code": "request_too_large"}}),
        "GET /v1/vector_stores/vs_1": (200, store(completed=1)),
    }
    code, out, err = run("memory", "add", str(tmp_path / "a.md"))
    assert (code, out) == (1, "0 new, 1 changed, 0 unchanged, 0 no longer in the folder\n")
    assert "a.md: larger than 3 bytes" in err
    assert "DELETE" not in {request.method for request in daemon.requests}


@pytest.mark.parametrize("made", [False, True])
def test_nothing_to_send_is_a_wrong_command(daemon: FakeDaemon, run: Run, tmp_path: Path, made: bool) -> None:
    if made:
        (tmp_path / "empty").mkdir()
    assert run("memory", "add", str(tmp_path / "empty"))[0] == 2
    assert daemon.requests == []


def test_documents_are_shown(daemon: FakeDaemon, run: Run, tmp_path: Path) -> None:
    daemon.answers["GET /v1/vector_stores?limit=100&order=asc"] = page(store(completed=1, failed=1, total=2))
    files = page(entry(tmp_path / "a.md"), entry(tmp_path / "b.pdf", "failed", "it is damaged"))
    daemon.answers["GET /v1/vector_stores/vs_1/files?limit=100&order=asc"] = files
    lines = run("memory", "documents")[1].splitlines()
    assert lines[1].split() == ["documents", "2", "0", "1", "12.0", "kB", "vs_1"]
    out = run("memory", "documents", "--store", "documents")[1]
    assert "it is damaged" in out
    assert run("memory", "documents", "--store", "other")[0] == 4

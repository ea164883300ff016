"""`mongarsctl memory add` and `memory documents`: files that can be searched."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from mongarsd.client import Client
from mongarsd.client.calls.files import StoredFile
from mongarsd.client.errors import TooLarge
from mongarsd.ctl import sync
from mongarsd.ctl.app import Json, examples
from mongarsd.ctl.connect import connected
from mongarsd.ctl.exits import Exit, Failure
from mongarsd.ctl.terminal import clean, note, table
from mongarsd.ctl.units import size

T = TypeVar("T")

LOOK = 0.5  # seconds between two looks at the progress

ADD = examples(
    "mongarsctl memory add manual.pdf",
    "mongarsctl memory add ~/notes --store notes",
    "mongarsctl memory add ~/notes --store notes --remove",
)
DOCUMENTS = examples("mongarsctl memory documents", "mongarsctl memory documents --store notes")


_Name = Annotated[str, typer.Option("--store", help="Name of the store; made if it is not there.")]


@connected
def add(
    client: Client,
    path: Annotated[Path, typer.Argument(metavar="FILE|DIR", help="Text, Markdown, HTML or PDF.")],
    store: _Name = "documents",
    remove: Annotated[
        bool, typer.Option("--remove", help="Delete from the store what is no longer in the folder.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Wait until everything can be searched.")] = True,
) -> None:
    """Make files searchable: new and changed ones are sent, the others are there already."""
    root = path.resolve()
    if not root.exists():
        raise Failure(f"there is no {clean(str(path))}", Exit.USAGE)
    local = _local(root)
    target = next((one for one in client.stores() if one.name == store), None)
    if target is None:
        target = client.create_store(store)
    plan = sync.plan(root, local, client.stored_files(target.id))
    refused = {str(one) for one in (*plan.new, *plan.changed) if not _send(client, target.id, one)}
    _delete(client, [file for file in plan.stale if sync.path_of(file) not in refused])
    if remove:
        _delete(client, plan.gone)
    print(
        f"{len(plan.new)} new, {len(plan.changed)} changed, {len(plan.same)} unchanged, "
        + (f"{len(plan.gone)} removed" if remove else f"{len(plan.gone)} no longer in the folder")
    )
    if wait:
        _wait(client, target.id, {str(one) for one in local} - refused)
    if refused:
        raise Failure(f"{len(refused)} of {len(local)} files were not sent")


@connected
def documents(
    client: Client,
    store: Annotated[str | None, typer.Option("--store", help="Show the files of this store.")] = None,
    json: Json = False,
) -> None:
    """Show what can be searched."""
    stores = list(client.stores())
    if store is None:
        rows = [
            (clean(one.name) or "-", str(one.file_counts.total), str(one.file_counts.in_progress),
             str(one.file_counts.failed), size(one.usage_bytes), clean(one.id))
            for one in stores
        ]  # fmt: skip
        header = ("STORE", "FILES", "WAITING", "FAILED", "TEXT", "ID")
        print(_json(stores) if json else "\n".join(table(header, rows, numbers=(1, 2, 3, 4))))
        return
    found = next((one for one in stores if store in (one.name, one.id)), None)
    if found is None:
        names = ", ".join(clean(one.name) for one in stores) or "none"
        raise Failure(f"there is no store {clean(store)}; there are: {names}", Exit.NOT_FOUND)
    files = list(client.stored_files(found.id))
    if json:
        print(_json(files))
        return
    shown = [
        (clean(file.filename), file.status.replace("_", " "), size(file.usage_bytes), _why(file)) for file in files
    ]
    print("\n".join(table(("FILE", "STATUS", "TEXT", "WHY"), shown, numbers=(2,))))


def _local(root: Path) -> dict[Path, str]:
    """Digest of each file that can be sent."""
    found = {}
    for path in sync.find(root):
        if len(str(path)) > sync.LONGEST_PATH:
            note(f"left out, its path is too long: {clean(str(path))}")
            continue
        found[path] = _readable(path, sync.digest)
    if not found:
        endings = " ".join(sorted(sync.ENDINGS))
        raise Failure(f"there is no file in {clean(str(root))} that can be read ({endings})", Exit.USAGE)
    return found


def _readable(path: Path, use: Callable[[Path], T]) -> T:
    """Raises Failure."""
    try:
        return use(path)
    except OSError as error:
        raise Failure(f"{clean(str(path))} cannot be read: {error.strerror}") from error


def _send(client: Client, store: str, path: Path) -> bool:
    """False = the daemon does not take it, and the others may go on. Raises Failure."""
    note(f"sending {clean(path.name)}")
    try:
        file = _readable(path, client.upload)
    except TooLarge as error:
        print(f"{clean(path.name)}: {clean(error.message)}", file=sys.stderr)
        return False
    client.store_file(store, file.id, attributes={sync.PATH: str(path)})
    return True


def _delete(client: Client, files: list[StoredFile]) -> None:
    for file in files:
        client.delete_file(file.id)


def _wait(client: Client, store: str, paths: set[str]) -> None:
    """Raises Failure when one of `paths` could not be read."""
    shown = -1
    while True:
        counts = client.store(store).file_counts
        if not counts.in_progress:
            break
        if counts.in_progress != shown:
            shown = counts.in_progress
            note(f"{shown} of {counts.total} files still to be read")
        time.sleep(LOOK)
    failed = [file for file in client.stored_files(store) if file.status == "failed" and sync.path_of(file) in paths]
    for file in failed:
        print(f"{clean(file.filename)}: {_why(file)}", file=sys.stderr)
    if failed:
        raise Failure(f"{len(failed)} of {len(paths)} files cannot be searched")


def _why(file: StoredFile) -> str:
    return clean((file.last_error or {}).get("message", ""))


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()

"""What has to be done so that a store holds the same files as a folder. Pure but for reading the folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from mongarsd.client.calls.files import StoredFile

#: Endings of files that the daemon can read; a file that is named itself may have any.
ENDINGS = frozenset((".txt", ".text", ".md", ".markdown", ".rst", ".html", ".htm", ".xhtml", ".pdf"))
#: Of an attribute; the daemon takes no longer one.
LONGEST_PATH = 512
PATH = "path"  # the attribute by which a file is known again


class Plan(NamedTuple):
    new: list[Path]
    changed: list[Path]
    same: list[Path]
    stale: list[StoredFile]  # replaced by what is there already, or by what is sent
    gone: list[StoredFile]  # no longer in the folder


def find(root: Path) -> list[Path]:
    """The files of a folder, or `root` itself if it is a file. What is hidden and what is a link is left out."""
    if root.is_file():
        return [root]
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and path.suffix.lower() in ENDINGS and not path.is_symlink() and path.is_file():
                found.append(path)
    return found


def plan(root: Path, local: Mapping[Path, str], stored: Iterable[StoredFile]) -> Plan:
    """`local`: digest of each file. What failed is tried again."""
    known: dict[str, list[StoredFile]] = {}
    for file in stored:
        known.setdefault(path_of(file), []).append(file)
    made = Plan([], [], [], [], [])
    for path, digest in local.items():
        have = known.get(str(path), [])
        good = next(
            (file for file in have if file.digest == digest and file.status in ("completed", "in_progress")), None
        )
        (made.same if good else made.changed if have else made.new).append(path)
        made.stale.extend(file for file in have if file is not good)
    here = {str(path) for path in local}
    for name, files in known.items():
        if name not in here and Path(name).is_absolute() and Path(name).is_relative_to(root):
            made.gone.extend(files)
    return made


def path_of(file: StoredFile) -> str:
    """Where it was sent from; "" = by another client."""
    return str(file.attributes.get(PATH, ""))


def digest(path: Path) -> str:
    """Raises OSError."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()

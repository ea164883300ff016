"""Presets of a store: `presets/<name>.json`, one small file each, that refers to a model by its digest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import structs

from mongarsd.ground.errors import BadRequest
from mongarsd.ground.folders import sync_folder
from mongarsd.ground.preset import Preset
from mongarsd.inference.models.disk import Disk
from mongarsd.inference.models.names import ADAPTER, DIGEST, NAME, Kind, store_path

MAX_PRESET = 1 << 18  # bytes
MAX_PRESETS = 1000
_GRAMMAR = re.compile(f"{NAME.pattern}|{ADAPTER.pattern}")


class Stored(NamedTuple):
    name: str
    preset: Preset
    modified: float  # seconds since the epoch


class Presets:
    """Names are a model's, or two of them with a colon; ":latest" is the same as nothing."""

    def __init__(self, root: Path, disk: Disk) -> None:
        self._root, self._disk = root, disk
        self._folder = root / "models" / Kind.PRESET.value[0]

    def all(self) -> Iterator[Stored]:
        """By name; a damaged one is left out."""
        for path in sorted(self._folder.glob("*.json")):
            if found := self.find(path.stem.replace("+", ":")):
                yield found

    def find(self, name: str) -> Stored | None:
        name = name.removesuffix(":latest")
        if not _GRAMMAR.fullmatch(name):
            return None
        path = store_path(self._root, Kind.PRESET, name)
        try:
            modified = path.stat().st_mtime
            with path.open("rb") as file:
                return Stored(name, msgspec.json.decode(file.read(MAX_PRESET), type=Preset), modified)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def write(self, name: str, preset: Preset) -> None:
        """Whole or not at all. Raises BadRequest, DiskFull."""
        name = name.removesuffix(":latest")
        if not _GRAMMAR.fullmatch(name) or DIGEST.fullmatch(name):
            raise BadRequest(
                f"{name[:80]!r} is no name for a model here: NAME or NAME:TAG, each of 1 to 64 letters, digits, '.', "
                "'_', '-', the first a letter or digit.",
                param="model",
            )
        data = msgspec.json.encode(preset)
        if len(data) >= MAX_PRESET:
            raise BadRequest(f"system, messages and parameters have {len(data)} bytes; {MAX_PRESET} is the limit")
        path = store_path(self._root, Kind.PRESET, name)
        if not path.exists() and sum(1 for _ in self._folder.iterdir()) >= MAX_PRESETS:
            raise BadRequest(f"there are {MAX_PRESETS} presets already: delete some first")
        self._disk.write_atomic(path, data)

    def remove(self, name: str) -> None:
        """No error when there is none."""
        store_path(self._root, Kind.PRESET, name.removesuffix(":latest")).unlink(missing_ok=True)
        sync_folder(self._folder)

    def of(self, digest: str) -> list[str]:
        """Names of the presets of a model."""
        return [stored.name for stored in self.all() if stored.preset.model == digest]

    def move(self, digest: str, new: str) -> None:
        """Those of a model that was replaced, to what took its place. Raises DiskFull."""
        for stored in self.all():
            if stored.preset.model == digest:
                self.write(stored.name, structs.replace(stored.preset, model=new))

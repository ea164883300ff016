"""What is installed: one small JSON file a name, pointing at a blob by its digest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from mongarsd.inference.models.disk import Disk
from mongarsd.inference.models.gguf import GgufHeader
from mongarsd.inference.models.names import DIGEST, Kind, store_path

Digest = Annotated[str, Meta(pattern=f"^{DIGEST.pattern}$")]
MAX_MANIFEST = 1 << 16  # bytes


class Blob(Struct, frozen=True, kw_only=True):
    """A verified file in the store: what it is, and what it was made from."""

    digest: Digest
    size: int  # bytes
    source: str  # reference
    source_digest: Digest  # of the file at the source; the same as `digest` unless it was derived
    derivation: str | None = None  # the type it was requantized to
    architecture: str
    parameters: int
    quantization: str
    context_length: int
    kv_bytes_per_token: int
    layers: int
    repacks: bool
    licence: str


class InstalledModel(Blob, frozen=True, kw_only=True):
    """A blob under a name. `problem` says why it cannot be used; "" = it can."""

    name: str
    path: Path
    modified: float  # seconds since the epoch
    problem: str = ""

    @property
    def blob(self) -> Blob:
        return Blob(**{field: getattr(self, field) for field in Blob.__struct_fields__})


def describe(
    header: GgufHeader, *, digest: str, size: int, source: str, source_digest: str, derivation: str | None
) -> Blob:
    return Blob(
        digest=digest,
        size=size,
        source=source,
        source_digest=source_digest,
        derivation=derivation,
        architecture=header.architecture,
        parameters=header.parameters,
        quantization=header.quantization,
        context_length=header.context_length,
        kv_bytes_per_token=header.kv_bytes_per_token,
        layers=header.block_count,
        repacks=header.repacks,
        licence=header.licence,
    )


def write_manifest(root: Path, name: str, blob: Blob, disk: Disk) -> None:
    """Replace the manifest of `name`, as a whole or not at all. Raises DiskFull."""
    data = msgspec.json.format(msgspec.json.encode(blob), indent=2)
    disk.write_atomic(store_path(root, Kind.MANIFEST, name), data + b"\n")


def read_manifest(root: Path, name: str) -> InstalledModel | None:
    """None if nothing has this name. A damaged manifest or a missing blob gives a model with a `problem`."""
    path = store_path(root, Kind.MANIFEST, name)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST)
        modified = path.stat().st_mtime
    except FileNotFoundError:
        return None
    try:
        blob = msgspec.json.decode(data, type=Blob)
    except msgspec.MsgspecError as error:
        return _unreadable(name, path, str(error))
    file_path = store_path(root, Kind.BLOB, blob.digest)
    return InstalledModel(
        name=name,
        path=file_path,
        modified=modified,
        problem=_problem(name, file_path, blob),
        **msgspec.structs.asdict(blob),
    )


def _problem(name: str, path: Path, blob: Blob) -> str:
    try:
        size = path.stat().st_size
    except OSError:
        return f"The file of {name} is missing: pull it again."
    return "" if size == blob.size else f"The file of {name} has {size} of {blob.size} bytes: pull it again."


def _unreadable(name: str, path: Path, reason: str) -> InstalledModel:
    return InstalledModel(
        digest="",
        size=0,
        source="",
        source_digest="",
        architecture="",
        parameters=0,
        quantization="",
        context_length=0,
        kv_bytes_per_token=0,
        layers=0,
        repacks=False,
        licence="",
        name=name,
        path=path,
        modified=0.0,
        problem=f"The entry of {name} is damaged ({reason}): pull it again.",
    )

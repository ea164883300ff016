"""What is installed: one small JSON file a name, pointing at a blob by its digest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

from mongarsd.inference.models.disk import Disk
from mongarsd.inference.models.formats import READER, Facts, inspect
from mongarsd.inference.models.names import DIGEST, Kind, store_path
from mongarsd.inference.models.onnx_weights import role as weights_role

Digest = Annotated[str, Meta(pattern=f"^{DIGEST.pattern}$")]
MAX_MANIFEST = 1 << 16  # bytes


class Companion(Struct, frozen=True, kw_only=True):
    """A verified file that a model needs beside its weights, such as its tokenizer."""

    digest: Digest
    size: int  # bytes
    source: str  # reference


class Blob(Facts, frozen=True, kw_only=True):
    """A verified file in the store: what it is, and what it was made from."""

    digest: Digest
    size: int  # bytes
    source: str  # reference
    source_digest: Digest  # of the file at the source; the same as `digest` unless it was derived
    derivation: str | None = None  # the type it was requantized to
    files: dict[str, Companion] = field(default_factory=dict)  # by role
    base: str = ""  # digest of the model that an adapter is for
    reader: int = 0  # formats.READER when the facts were read; 0 = before it was kept

    @property
    def weights(self) -> int:
        """Bytes of all files with weights."""
        return self.size + sum(self.files[weights_role(index)].size for index in range(len(self.data)))

    @property
    def digests(self) -> tuple[str, ...]:
        """Of all files it needs."""
        return (self.digest, *(file.digest for file in self.files.values()))


class InstalledModel(Blob, frozen=True, kw_only=True):
    """A blob under a name. `problem` says why it cannot be used; "" = it can."""

    name: str
    path: Path
    modified: float  # seconds since the epoch
    problem: str = ""

    @property
    def paths(self) -> dict[str, Path]:
        """Of the companions, by role."""
        return {role: self.path.with_name(file.digest.replace(":", "-")) for role, file in self.files.items()}

    @property
    def blob(self) -> Blob:
        return Blob(**{field: getattr(self, field) for field in Blob.__struct_fields__})


def describe(
    facts: Facts,
    *,
    digest: str,
    size: int,
    source: str,
    source_digest: str,
    derivation: str | None,
    files: dict[str, Companion] | None = None,
) -> Blob:
    return Blob(
        digest=digest,
        size=size,
        source=source,
        source_digest=source_digest,
        derivation=derivation,
        files=files or {},
        reader=READER,
        **msgspec.structs.asdict(facts),
    )


def renewed(model: InstalledModel) -> Blob:
    """With what the file's header says to this version of the reader. Raises InvalidModel."""
    facts = msgspec.structs.asdict(inspect(model.path))
    if model.format == "onnx":  # these came from beside the file, and with other files
        del facts["context_length"], facts["data"]
    return msgspec.structs.replace(model.blob, reader=READER, **facts)


def write_manifest(root: Path, name: str, blob: Blob, disk: Disk) -> None:
    """Replace the manifest of `name`, as a whole or not at all. Raises DiskFull."""
    data = msgspec.json.format(msgspec.json.encode(blob), indent=2)
    disk.write_atomic(manifest_path(root, name), data + b"\n")


def manifest_path(root: Path, name: str) -> Path:
    """Of a model, or of an adapter, whose name has a colon."""
    return store_path(root, Kind.ADAPTER if ":" in name else Kind.MANIFEST, name)


def read_manifest(root: Path, name: str) -> InstalledModel | None:
    """None if nothing has this name. A manifest that is damaged or cannot be read, or a missing blob, gives a model
    with a `problem`."""
    path = manifest_path(root, name)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST)
        modified = path.stat().st_mtime
    except FileNotFoundError:
        return None
    except OSError as error:
        return _unreadable(name, path, f"cannot be read ({error}): give it to mongarsd's user, or pull the model again")
    try:
        blob = msgspec.json.decode(data, type=Blob)
    except msgspec.MsgspecError as error:
        return _unreadable(name, path, f"is damaged ({error}): pull it again")
    file_path = store_path(root, Kind.BLOB, blob.digest)
    problem = _problem(name, file_path, blob) or _without_base(root, name, blob)
    if problem and not path.exists():
        return None  # removed just now, and its files with it
    return InstalledModel(
        name=name,
        path=file_path,
        modified=modified,
        problem=problem,
        **msgspec.structs.asdict(blob),
    )


def _problem(name: str, path: Path, blob: Blob) -> str:
    if (size := _size(path)) is None:
        return f"The file of {name} is missing: pull it again."
    if size != blob.size:
        return f"The file of {name} has {size} of {blob.size} bytes: pull it again."
    for role, file in blob.files.items():
        beside = path.with_name(file.digest.replace(":", "-"))
        if _size(beside) != file.size:
            return f"The {role} of {name} is missing or cut: pull it again."
    return ""


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _without_base(root: Path, name: str, blob: Blob) -> str:
    if not blob.base:
        return ""
    base = read_manifest(root, name.partition(":")[0])
    if base is None or base.digest != blob.base:
        return f"The model that {name} was installed for has been replaced or removed: pull the adapter again."
    return base.problem


def _unreadable(name: str, path: Path, how: str) -> InstalledModel:
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
        problem=f"The entry of {name} {how}.",
    )

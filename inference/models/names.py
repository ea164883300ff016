"""The only names that may become paths: model names, digests, and keys of unfinished files."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path

from mongarsd.ground.errors import BadRequest

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
#: A model's name and the adapter's own.
ADAPTER = re.compile(f"{NAME.pattern}:{NAME.pattern}")
KEY = re.compile(r"[0-9a-f]{64}")

#: What lies beside an ONNX model, by role.
BESIDE = {
    "tokenizer": "tokenizer.json",
    "tokens": "tokenizer_config.json",
    "config": "config.json",
    "generation": "generation_config.json",
    "template": "chat_template.jinja",
}

#: A folder beside a blob, named after it, in which a worker sees the files of one model under the names the model uses.
OPEN = ".open"


class Kind(Enum):
    """What the store keeps: (folder, grammar of the key, file name made from the key)."""

    BLOB = ("blobs", DIGEST, "{}")  # a verified model file; the colon becomes a dash
    MANIFEST = ("manifests", NAME, "{}.json")
    ADAPTER = ("adapters", ADAPTER, "{}.json")  # a manifest too; the colon becomes a plus, which no name has
    PRESET = ("presets", re.compile(f"{NAME.pattern}(:{NAME.pattern})?"), "{}.json")  # its colon becomes a plus too
    PARTIAL = ("partial", KEY, "{}.part")  # may be resumed after a restart
    SCRATCH = ("partial", KEY, "{}.scratch")  # never outlives the process


def valid_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise BadRequest(
            f"{name[:80]!r} is no model name: use 1 to 64 letters, digits, '.', '_', '-', the first a letter or digit.",
            param="name",
        )
    return name


def valid_digest(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise BadRequest(f"{digest[:80]!r} is no digest: 'sha256:' and 64 lower-case hex digits.", param="digest")
    return digest


def store_path(root: Path, kind: Kind, key: str) -> Path:
    """The one place where a name becomes a path; it is always directly inside the kind's folder."""
    folder, grammar, file = kind.value
    if not grammar.fullmatch(key):
        raise BadRequest(f"{key[:80]!r} cannot name a file of the model store.")
    return root / "models" / folder / file.format(key.replace(":", "+" if kind in (Kind.ADAPTER, Kind.PRESET) else "-"))


def name_from_file(file: str) -> str:
    """A model name for a file that was given none: its own, in lower case, without its ending."""
    stem = re.sub(r"\.(gguf|onnx)$", "", file.rsplit("/", 1)[-1], flags=re.IGNORECASE).lower()
    return valid_name(re.sub(r"[^a-z0-9._-]+", "-", stem).lstrip("._-")[:64])

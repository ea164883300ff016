"""The models known by name. The data is `catalogue.toml` beside this file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from mongarsd.inference.models.names import NAME
from mongarsd.inference.models.sources import open_source

FILE = Path(__file__).with_name("catalogue.toml")

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Bytes = Annotated[int, Meta(ge=1)]


class Beside(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file the model needs beside its weights."""

    role: Annotated[str, Meta(pattern="^[a-z]{1,20}$")]  # "tokenizer"
    ref: str
    sha256: Sha256 | None = None
    size: Bytes | None = None
    chat: bool = False  # chat models have it, if at all


class Origin(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One place to get the model from. Without `sha256` the hash that the hub states is what the file must have."""

    ref: str
    sha256: Sha256 | None = None  # of the file at the source
    size: Bytes | None = None  # of the file at the source; exact where sha256 is given, about right elsewhere
    requantize: str | None = None  # the type the file is turned into after verification
    files: tuple[Beside, ...] = ()
    context: int | None = None  # tokens of a text an embedding model was trained for, where the file does not say it


class CatalogueEntry(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: Annotated[str, Meta(pattern=f"^{NAME.pattern}$")]
    title: str
    parameters: int  # about
    licence: str
    context: int  # tokens
    ram: Bytes  # about: weights, their rearranged copy, and a few thousand tokens of KV cache
    aliases: tuple[str, ...] = ()
    notes: str = ""
    sources: Annotated[tuple[Origin, ...], Meta(min_length=1)]  # tried in this order

    @property
    def sha256(self) -> str | None:
        return self.sources[0].sha256

    @property
    def size(self) -> int | None:
        return self.sources[0].size

    @property
    def derivation(self) -> str | None:
        return self.sources[0].requantize


class Catalogue:
    """Immutable; names and aliases are looked up without regard to case."""

    def __init__(self, entries: Iterable[CatalogueEntry]) -> None:
        self._entries = tuple(entries)
        self._names: dict[str, CatalogueEntry] = {}
        for entry in self._entries:
            for origin in entry.sources:
                for ref in (origin.ref, *(part.ref for part in origin.files)):
                    open_source(ref)
            for name in (entry.name, *entry.aliases):
                if self._names.setdefault(name.lower(), entry) is not entry:
                    raise ValueError(f"the catalogue names {name} twice")

    def __iter__(self) -> Iterator[CatalogueEntry]:
        return iter(self._entries)

    def find(self, name: str) -> CatalogueEntry | None:
        """By name or alias; Ollama's clients may add `:latest`."""
        return self._names.get(name.lower().removesuffix(":latest"))


class _File(Struct, forbid_unknown_fields=True):
    model: tuple[CatalogueEntry, ...]


def load_catalogue(path: Path = FILE) -> Catalogue:
    """Raises msgspec.ValidationError or ValueError: the file is ours, so a mistake in it is a bug."""
    return Catalogue(msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File).model)

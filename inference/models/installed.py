"""What is installed, by the names it is asked for under. Read from the manifests each time, so never out of date."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mongarsd.ground.errors import InvalidModel, ModelNotFound
from mongarsd.inference.models.catalogue import Catalogue
from mongarsd.inference.models.manifest import Blob, InstalledModel, read_manifest
from mongarsd.inference.models.names import ADAPTER, DIGEST, NAME, Kind

MANIFESTS = (Kind.MANIFEST, Kind.ADAPTER)


class Installed:
    """Iterating gives every model and adapter by name; those with a `problem` too. Changes nothing on the disk."""

    def __init__(self, root: Path, catalogue: Catalogue) -> None:
        self._root, self._catalogue = root, catalogue

    def resolve(self, name: str) -> InstalledModel:
        """By name, catalogue alias or digest. Raises ModelNotFound, InvalidModel."""
        found = self.find(name)
        if found is None:
            raise ModelNotFound(self.missing(name), param="model")
        if found.problem:
            raise InvalidModel(found.problem, param="model")
        return found

    def __iter__(self) -> Iterator[InstalledModel]:
        folders = (self._root / "models" / kind.value[0] for kind in MANIFESTS)
        stems = (path.stem for folder in folders for path in folder.glob("*.json"))
        for name in sorted(stem.replace("+", ":") for stem in stems):
            if (NAME.fullmatch(name) or ADAPTER.fullmatch(name)) and (model := read_manifest(self._root, name)):
                yield model

    def find(self, name: str) -> InstalledModel | None:
        """By name, catalogue alias or digest; of several with a digest one that can be used."""
        if DIGEST.fullmatch(name):
            same = [model for model in self if model.digest == name]
            return min(same, key=lambda model: bool(model.problem), default=None)
        if found := self.find_model(name):
            return found
        whole, _, own = name.removesuffix(":latest").rpartition(":")
        if NAME.fullmatch(own) and (base := self.find_model(whole)):
            return read_manifest(self._root, f"{base.name}:{own}")
        return None

    def find_model(self, name: str) -> InstalledModel | None:
        """No adapter."""
        if DIGEST.fullmatch(name):
            return next((model for model in self if model.digest == name and not model.adapter), None)
        entry = self._catalogue.find(name)
        for known in (name.removesuffix(":latest"), entry.name if entry else ""):
            if NAME.fullmatch(known) and (found := read_manifest(self._root, known)):
                return found
        return None

    def known(self, source_digest: str, derivation: str | None) -> Blob | None:
        """A usable blob that was made from the same file in the same way."""
        for model in self:
            if (model.source_digest, model.derivation, model.problem) == (source_digest, derivation, ""):
                return model.blob
        return None

    def missing(self, name: str) -> str:
        """Why there is no such model, and what to do."""
        if entry := self._catalogue.find(name):
            return f"{entry.name} is known but not installed: pull it first (mongarsctl models pull {entry.name})."
        names = ", ".join(model.name for model in self) or "none"
        return f"There is no model {name[:80]!r}; installed: {names}."

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from mongarsd.ground.errors import BadRequest
from mongarsd.ground.settings import ModelSettings
from mongarsd.inference.models.catalogue import Catalogue, CatalogueEntry, Origin, load_catalogue
from mongarsd.inference.models.requantize import KINDS
from mongarsd.inference.models.sources import open_source


def entry(name: str = "tiny", ref: str = "hf:o/r/m.gguf", **more: object) -> CatalogueEntry:
    return CatalogueEntry(
        name=name, title="", parameters=1, licence="MIT", context=1, ram=1, sources=(Origin(ref=ref),), **more
    )  # type: ignore[arg-type]


def test_the_default_model_is_pinned() -> None:
    default = load_catalogue().find(ModelSettings().default)
    assert default is not None
    assert default.sha256 == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert (default.size, default.derivation) == (98_362_432, "Q4_0")


def test_every_entry_is_sound() -> None:
    for model in load_catalogue():
        assert model.sources[0].size
        assert model.ram > model.sources[0].size
        for origin in model.sources:
            assert open_source(origin.ref).ref == origin.ref
            assert origin.requantize is None or origin.requantize in KINDS
            # A package can be replaced by whoever takes over an index; only its hash says it is the same.
            assert origin.sha256 or not origin.ref.startswith("pypi:")


@pytest.mark.parametrize("name", ["tiny", "TINY", "tiny:latest", "t:1b", "T:1B"])
def test_find(name: str) -> None:
    catalogue = Catalogue([entry(aliases=("t:1b",))])
    assert catalogue.find(name) == next(iter(catalogue))


def test_find_nothing() -> None:
    assert load_catalogue().find("gpt-17") is None


def test_double_names_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="twice"):
        Catalogue([entry(), entry("other", aliases=("Tiny",))])


def test_bad_reference_is_a_mistake() -> None:
    with pytest.raises(BadRequest):
        Catalogue([entry(ref="http://example.org/m.gguf")])


def test_unknown_fields_are_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[[model]]\nname = "x"\ncolour = "red"\n')
    with pytest.raises(msgspec.ValidationError):
        load_catalogue(path)

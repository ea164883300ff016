"""A sub-schema and where it stands: its keywords read and checked, what is wrong with it said with the path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.grammar.rules import Writer


@dataclass(frozen=True)
class Place:
    schema: dict[str, Any]  # without `$ref` and `allOf`
    path: str
    param: str
    writer: Writer
    compile: Callable[[Any, str], str]  # a schema below this one, and its path: the name of its rule

    @property
    def wish(self) -> str:
        return wish(self.path)

    def count(self, key: str) -> int | None:
        value = self.schema.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            self.refuse("expected an integer of at least 0", key)
        return value

    def counts(self, what: str) -> tuple[int, int | None]:
        """`min…` and `max…`, in order."""
        least, most = self.count(f"min{what}") or 0, self.count(f"max{what}")
        if most is not None and most < least:
            self.refuse(f"max{what} is less than min{what}")
        if least > 10_000:
            self.refuse("more than 10,000 is not supported", f"min{what}")
        return least, most

    def several(self, key: str) -> list[Any]:
        """A keyword's list, which is not empty."""
        return several(self.schema[key], f"{self.path}.{key}", self.param)

    def refuse(self, why: str, key: str = "") -> NoReturn:
        refuse(f"{self.path}.{key}" if key else self.path, why, self.param)


def several(value: Any, path: str, param: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        refuse(path, "expected a list that is not empty", param)
    return value


def refuse(path: str, why: str, param: str) -> NoReturn:
    raise BadRequest(f"{path[:300]}: {why}", param=param)


def wish(path: str) -> str:
    """What the rule of this path would like to be called."""
    return path.replace("[", ".").replace("]", "").rpartition(".")[2] or "x"

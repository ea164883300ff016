"""A method out of a function that makes a call: so that both clients have the same ones, with the same arguments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

M = TypeVar("M", bound=Callable[..., Any])

_SELF = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)


def dressed(method: M, build: Callable[..., Any], result: str) -> M:
    """Give `method` the name, words and arguments of `build`; `result` says what becomes of its `Call[…]`."""
    functools.update_wrapper(method, build)
    signature = inspect.signature(build)
    answer = str(signature.return_annotation).partition("[")[2].removesuffix("]")
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[_SELF, *signature.parameters.values()], return_annotation=result.format(answer)
    )
    return method

"""The Jinja environment chat templates run in. Templates come out of downloaded files: hostile until proven otherwise.

On top of Jinja's immutable sandbox: only the methods and filters chat templates use, nothing is loaded from elsewhere,
and every loop turn, call, filter and operator that can make something large answers to the `Budget`. Imported by worker
processes only, when they load a model: Jinja costs 5 MB.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, NoReturn

from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import do_indent
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from mongarsd.inference.text.budget import Budget, Overrun
from mongarsd.inference.text.instrument import CONCAT, MADE, TICK, Generation, Instrument

#: Jinja's filters, but for those that multiply what they get (center, format, batch, …), read attributes or draw lots.
FILTERS = (
    "abs capitalize count d default dictsort e escape first float groupby int items last length list lower map max min"
    " reject rejectattr reverse safe select selectattr sort string title trim truncate unique upper urlencode wordcount"
).split()
#: The methods a template may call. Jinja's sandbox adds that none begins with "_".
METHODS: dict[type | tuple[type, ...], frozenset[str]] = {
    str: frozenset(
        "capitalize casefold count endswith find format index isalnum isalpha isascii isdecimal isdigit isidentifier"
        " islower isnumeric isprintable isspace istitle isupper join lower lstrip partition removeprefix removesuffix"
        " replace rfind rindex rpartition rsplit rstrip split splitlines startswith strip swapcase title upper".split()
    ),
    dict: frozenset(("get", "items", "keys", "values", "copy")),
    (list, tuple): frozenset(("count", "index", "grouper", "list")),  # the last two: what groupby gives
    (bytes, int, float): frozenset(),
}
MAX_BITS = 256  # of a product of integers
MAX_INDENT = 64  # characters a level


class Refusal(Exception):
    """The template called `raise_exception`."""


class _Namespace(Namespace):
    """Jinja's prints what it holds; `weigh` does not look inside."""

    def __repr__(self) -> str:
        return "<Namespace>"


class Sandbox(ImmutableSandboxedEnvironment):
    """Set `budget` before each use. Not thread-safe."""

    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self, budget: Budget) -> None:
        # The options of transformers' apply_chat_template, which is what template authors try theirs with.
        # `optimized` would compute constants while compiling.
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, optimized=False, extensions=[Generation, "jinja2.ext.loopcontrols"]
        )
        self.budget = budget
        del self.globals["lipsum"]
        self.globals["raise_exception"] = _refuse
        self.globals["namespace"] = _Namespace
        own: dict[str, Callable[..., Any]] = {
            "join": self._join,
            "replace": self._replace,
            "indent": self._indent,
            "tojson": self._to_json,
            CONCAT: self._join,
            MADE: lambda value: value,
        }
        filters = {name: self.filters[name] for name in FILTERS} | own
        self.filters = {name: self._charged(function) for name, function in filters.items()}
        self.filters[TICK] = lambda _: self.budget.tick()
        self.concat = self._concat  # type: ignore[method-assign]  # the base declares it as str.join

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        Instrument().visit(tree)
        tree.set_environment(self)
        return tree

    # What templates may reach.

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        for kind, allowed in METHODS.items():
            if isinstance(obj, kind):
                return attr in allowed
        return super().is_safe_attribute(obj, attr, value)

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        if attribute.startswith("_"):  # Jinja would print it as nothing; it is never a mistake
            raise SecurityError(f"{attribute!r} of {type(obj).__name__!r} is out of bounds")
        return super().unsafe_undefined(obj, attribute)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        if super().wrap_str_format(value) is None:
            return None
        text: str = value.__self__

        def fill(*args: Any, **kwargs: Any) -> str:
            for _, field, spec, conversion in string.Formatter().parse(text):
                if spec or conversion or (field and not field.isalnum()):
                    raise SecurityError("only plain {} fields can be formatted")
            self.budget.fits(len(text) + text.count("{") * self.budget.weigh([args, kwargs]))
            return str(text.format(*args, **kwargs))

        return fill

    # What they may spend.

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        self, budget = __self, __self.budget
        budget.tick()
        for name, value in (*((None, value) for value in args), *kwargs.items()):
            if name not in ("_loop_vars", "_block_vars"):  # the compiler's own
                budget.weigh(value)
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, str) and __obj.__name__ == "join":
            (items,) = args
            return budget.made(self._join(items, owner))
        if isinstance(owner, str) and __obj.__name__ == "replace":
            return budget.made(self._replace(owner, *args))
        return budget.made(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        self.budget.tick()
        if operator == "**" or (operator == "%" and isinstance(left, str)):
            raise SecurityError(f"{operator!r} is out of bounds")
        if operator == "*":
            if isinstance(left, int) and isinstance(right, int):
                if left.bit_length() + right.bit_length() > MAX_BITS:
                    raise Overrun("makes a number that is too large")
            elif isinstance(left, int):
                self.budget.repeats(right, left)
            elif isinstance(right, int):
                self.budget.repeats(left, right)
        return self.budget.made(super().call_binop(context, operator, left, right))

    def _charged(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The filter, paid for. (`wraps` keeps the marks by which Jinja knows what to pass it.)"""

        @wraps(function)
        def charged(*args: Any, **kwargs: Any) -> Any:
            self.budget.tick()
            return self.budget.made(function(*args, **kwargs))

        return charged

    def _concat(self, parts: Iterable[str]) -> str:
        """What a macro or a `{% set %}` block has written."""
        parts = list(parts)
        self.budget.fits(sum(map(len, parts)))
        return self.budget.made("".join(parts))

    def _join(self, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
        items = value if attribute is None else (self.getitem(item, attribute) for item in value)
        parts, separator = list(map(str, items)), str(d)
        self.budget.fits(sum(map(len, parts)) + len(separator) * len(parts))
        return separator.join(parts)

    def _replace(self, s: Any, old: Any, new: Any, count: int | None = None) -> str:
        text, before, after = str(s), str(old), str(new)
        self.budget.fits(len(text) + text.count(before) * len(after))
        return text.replace(before, after, -1 if count is None else count)

    def _indent(self, s: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
        size = len(width) if isinstance(width, str) else width
        self.budget.fits(len(s) + (s.count("\n") + 1) * size)
        return str(do_indent(s, width, first, blank))

    def _to_json(
        self,
        value: Any,
        ensure_ascii: bool = False,
        indent: int | str | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        """As transformers has it: no HTML escapes, unlike Jinja's own."""
        if indent is not None and (len(indent) if isinstance(indent, str) else indent) > MAX_INDENT:
            raise Overrun("indents too much")
        if separators is not None and max(map(len, separators)) > MAX_INDENT:
            raise Overrun("separates too much")
        encoder = json.JSONEncoder(ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
        if indent is None:
            return encoder.encode(value)  # at most 6 times the weight
        parts = []
        for part in encoder.iterencode(value):  # indentation grows with the depth: look at every part
            self.budget.take(len(part))
            parts.append(part)
        return self._concat(parts)


def _refuse(message: str) -> NoReturn:
    raise Refusal(message)

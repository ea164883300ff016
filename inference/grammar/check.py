"""Whether a grammar can be run: nothing undefined, no endless loop, some text that ends, and a bounded size.

Also that nothing in it can be read in too many ways (`ambiguity.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.grammar.ambiguity import ambiguous
from mongarsd.inference.grammar.gbnf import (
    MAX_ELEMENTS,
    MAX_REPEAT,
    Chars,
    Choice,
    Literal,
    Node,
    Ref,
    Repeat,
    Rules,
    Sequence,
    parse,
)

Holds = Callable[[Node, set[str]], bool]


def check(text: str, param: str = "grammar", *, forks: bool = True) -> Rules:
    """The rules of a grammar that can be run; without `forks` it is known to be unambiguous. Raises BadRequest."""
    rules = parse(text, param)

    def refuse(why: str) -> BadRequest:
        return BadRequest(f"{param}: {why}", param=param)

    if "root" not in rules:
        raise refuse("there is no rule named root")
    for name, node in rules.items():
        if missing := next((ref for ref in refs(node) if ref not in rules), None):
            raise refuse(f"the rule {name} uses {missing}, which is not defined")
    total = 0
    for name, node in rules.items():
        total += _size(node)
        if total > MAX_ELEMENTS:
            raise refuse(f"with repetitions written out it has more than {MAX_ELEMENTS} elements")
        if _nested_repeats(node) > MAX_REPEAT:
            raise refuse(f"in the rule {name} repetitions of repetitions are more than {MAX_REPEAT}")
    empty = _fixpoint(rules, _can_be_empty)
    if loop := _left_recursion(rules, empty):
        raise refuse(f"the rule {loop} begins with itself (left recursion)")
    if endless := unproductive(rules):
        raise refuse(f"the rule {endless[0]} has no end: each of its alternatives needs itself")
    if forks and (where := ambiguous(text)):
        raise refuse(f"in the rule {where} a text can be read in too many ways: alternatives that repeat must differ")
    return rules


def unproductive(rules: Rules) -> list[str]:
    """Rules no finite text satisfies."""
    ends = _fixpoint(rules, _can_end)
    return [name for name in rules if name not in ends]


def refs(node: Node) -> Iterator[str]:
    """Names of the rules that `node` uses."""
    stack = [node]
    while stack:
        node = stack.pop()
        if isinstance(node, Ref):
            yield node.name
        else:
            stack.extend(_children(node))


def _children(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Sequence):
        return node.items
    if isinstance(node, Choice):
        return node.options
    return (node.item,) if isinstance(node, Repeat) else ()


def _size(node: Node) -> int:
    """Elements after llama.cpp wrote the repetitions out."""
    if isinstance(node, Literal):
        return len(node.text) + 1
    if isinstance(node, Chars):
        return 2 * len(node.ranges) + 1
    inner = sum(map(_size, _children(node))) + 1
    return inner * max(node.most or node.least, 1) + 1 if isinstance(node, Repeat) else inner


def _nested_repeats(node: Node) -> int:
    inner = max(map(_nested_repeats, _children(node)), default=1)
    return inner * max(node.most or node.least, 1) if isinstance(node, Repeat) else inner


def _can_be_empty(node: Node, known: set[str]) -> bool:
    if isinstance(node, Literal):
        return not node.text
    if isinstance(node, Chars):
        return False
    if isinstance(node, Ref):
        return node.name in known
    if isinstance(node, Repeat):
        return node.least == 0 or _can_be_empty(node.item, known)
    return (any if isinstance(node, Choice) else all)(_can_be_empty(child, known) for child in _children(node))


def _can_end(node: Node, known: set[str]) -> bool:
    if isinstance(node, Ref):
        return node.name in known
    if isinstance(node, Repeat):
        return node.least == 0 or _can_end(node.item, known)
    return (any if isinstance(node, Choice) else all)(_can_end(child, known) for child in _children(node))


def _fixpoint(rules: Rules, holds: Holds) -> set[str]:
    """The least set of rules for which `holds`, each rule looked at again only when one that it uses joined."""
    users: dict[str, list[str]] = {}
    for name, node in rules.items():
        for ref in set(refs(node)):
            users.setdefault(ref, []).append(name)
    known: set[str] = set()
    todo = list(rules)
    while todo:
        name = todo.pop()
        if name not in known and holds(rules[name], known):
            known.add(name)
            todo.extend(users.get(name, ()))
    return known


def _first(node: Node, empty: set[str]) -> Iterator[str]:
    """Rules that a text of `node` may begin with."""
    if isinstance(node, Ref):
        yield node.name
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from _first(item, empty)
            if not _can_be_empty(item, empty):
                return
    else:
        for child in _children(node):
            yield from _first(child, empty)


def _left_recursion(rules: Rules, empty: set[str]) -> str | None:
    """A rule that begins with itself."""
    edges = {name: set(_first(node, empty)) for name, node in rules.items()}
    before: dict[str, int] = dict.fromkeys(rules, 0)
    for targets in edges.values():
        for target in targets:
            before[target] += 1
    free = [name for name, count in before.items() if not count]
    left = len(rules)
    while free:  # whatever cannot be taken away lies on a circle, or behind one
        left -= 1
        for target in edges[free.pop()]:
            before[target] -= 1
            if not before[target]:
                free.append(target)
    if not left:
        return None
    rest = {name for name, count in before.items() if count}
    for name in rest:
        seen: set[str] = set()
        todo = list(edges[name])
        while todo:
            if (target := todo.pop()) not in seen:
                seen.add(target)
                todo.extend(edges[target])
        if name in seen:
            return name
    return None

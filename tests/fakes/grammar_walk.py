"""A random text that a grammar accepts."""

from __future__ import annotations

from random import Random

from mongarsd.inference.grammar.gbnf import Chars, Choice, Literal, Node, Ref, Repeat, Rules, Sequence

SAMPLE = 'aZ09 -_.,:é漢😀"\\/{}[]'
BUDGET = 300  # steps after which the walk takes the shortest way out
FAR = 10**9


def walk(rules: Rules, random: Random, budget: int = BUDGET) -> str:
    heights = _heights(rules)
    left = budget
    out: list[str] = []
    stack: list[Node] = [Ref("root")]
    while stack:
        node = stack.pop()
        left -= 1
        if isinstance(node, Literal):
            out.append(node.text)
        elif isinstance(node, Chars):
            out.append(_character(node, random))
        elif isinstance(node, Ref):
            stack.append(rules[node.name])
        elif isinstance(node, Sequence):
            stack.extend(reversed(node.items))
        elif isinstance(node, Choice):
            best = min(node.options, key=lambda option: _height(option, heights))
            stack.append(random.choice(node.options) if left > 0 else best)
        else:
            most = node.most if node.most is not None else node.least + 4
            often = random.choice([node.least, most, random.randint(node.least, most)])
            times = min(often, node.least + 40) if left > 0 else node.least
            stack.extend([node.item] * times)
    return "".join(out)


def _character(node: Chars, random: Random) -> str:
    if not node.negated:
        first, last = random.choice(node.ranges)
        return chr(random.randint(ord(first), ord(last)))
    free = [one for one in SAMPLE if not any(first <= one <= last for first, last in node.ranges)]
    return random.choice(free)


def _heights(rules: Rules) -> dict[str, int]:
    heights = dict.fromkeys(rules, FAR)
    for _ in rules:
        before = dict(heights)
        for name, node in rules.items():
            heights[name] = min(FAR, 1 + _height(node, before))
        if heights == before:
            break
    return heights


def _height(node: Node, heights: dict[str, int]) -> int:
    if isinstance(node, Ref):
        return heights[node.name]
    if isinstance(node, Sequence):
        return max((_height(item, heights) for item in node.items), default=0)
    if isinstance(node, Choice):
        return min(_height(option, heights) for option in node.options)
    if isinstance(node, Repeat):
        return _height(node.item, heights) if node.least else 0
    return 0

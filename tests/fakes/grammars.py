"""Random grammars that can be run, and texts to try them with."""

from __future__ import annotations

from hypothesis import strategies as st

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.grammar.check import check

#: Letters of one to four bytes, some of which begin alike.
LETTERS = "abcéèß€₤𝄞𝄢"
_CLASS = st.builds(
    lambda negated, some: f"[{'^' if negated else ''}{''.join(some)}]",
    st.booleans(),
    st.lists(st.sampled_from([*LETTERS, "a-c", "à-ï", "₠-€", "\\x61"]), min_size=1, max_size=3),
)
_ATOM = st.one_of(
    st.text(LETTERS, max_size=3).map(lambda text: f'"{text}"'),
    _CLASS,
    st.just("."),
    st.sampled_from(["one", "two"]),
)
_TIMES = st.sampled_from(["", "", "", "?", "*", "+", "{2}", "{1,3}", "{0,2}", "{2,}"])


def _bodies(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    item = st.builds(lambda body, times: f"({body}){times}", inner, _TIMES)
    sequence = st.lists(item, min_size=1, max_size=3).map(" ".join)
    return st.lists(sequence, min_size=1, max_size=3).map(" | ".join)


BODIES = st.recursive(_ATOM, _bodies, max_leaves=6)


def _runs(text: str) -> bool:
    try:
        return bool(check(text))
    except BadRequest:
        return False


GRAMMARS = st.builds("root ::= {}\none ::= {}\ntwo ::= {}\n".format, BODIES, BODIES, BODIES).filter(_runs)

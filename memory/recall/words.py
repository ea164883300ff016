"""What people type becomes an FTS5 query that cannot be anything but words. Pure.

FTS5's syntax (`"`, `*`, `NEAR`, `AND`, `col:`) never reaches it: words are cut out as the index's own tokenizer would
cut them, quoted, and joined by OR.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

#: Words of one query: more make no answer better, and each costs a look into the index.
MAX_WORDS = 24
#: Characters of a text that are looked at.
MAX_TEXT = 4000

_WORD = re.compile(r"[^\W_]+")


def _plain(text: str) -> str:
    """Lower case without diacritics, as `unicode61 remove_diacritics 2` indexes it."""
    return "".join(c for c in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(c))


#: Words that are in most sentences: they find everything, slowly. English, German, French.
STOP = frozenset(
    _plain("""
    a about after all also am an and any are as at be because been but by can could did do does for from had has have
    he her him his how i if in into is it its just me my no not of on one or our out she should so some than that the
    their them then there these they this to up us was we were what when where which who why will with would you your
    aber als am an auch auf aus bei bin bis bist da das dass dein dem den der des die dir doch du ein eine einem einen
    einer er es euch für hat habe haben hast ich ihr im in ist ja kann kein keine man mein meine meinem meinen meiner
    mich mir mit nach nicht noch nur ob oder sein sich sie sind so über um und uns unser von vor war waren was wann wie
    wir wird wo zu zum zur
    au aux avec ce ces cette dans de des du elle en est et eux il ils je la le les leur lui ma mais mes moi mon ne nos
    notre nous on ou où par pas pour qu que quel quelle qui sa ses son sont sur ta te tes toi ton tu un une vos votre
    vous
    """).split()
)


def words(text: str) -> list[str]:
    """The different words of `text`, in order, lower case; only stop words if there are no others."""
    found = list(dict.fromkeys(_WORD.findall(_plain(text[:MAX_TEXT]))))
    telling = [word for word in found if word not in STOP]
    return (telling or found)[:MAX_WORDS]


def query(found: Iterable[str]) -> str:
    """For `MATCH`; "" when there is nothing to look for."""
    return " OR ".join(f'"{word}"' for word in found)


def share(found: Iterable[str], text: str) -> float:
    """How many of the words are in `text`, 0 to 1."""
    wanted = set(found)
    return len(wanted.intersection(_WORD.findall(_plain(text)))) / len(wanted) if wanted else 0.0

"""What people type becomes an FTS5 query that cannot be anything but words. Pure.

FTS5's syntax (`"`, `*`, `NEAR`, `AND`, `col:`) never reaches it: words are cut out as the index's own tokenizer would
cut them, quoted, and joined by OR.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

#: Words of one query: more make no answer better, and each costs a look into the index.
MAX_WORDS = 24
#: Texts that a query scores, about: each costs several µs and more on a Pi, and "name" may be in half a million. 2,000
#: of 100,000 take 14 ms on a busy machine where 5,000 take 62.
MOST_TEXTS = 2000
#: Characters of a text that are looked at.
MAX_TEXT = 4000

_WORD = re.compile(r"[^\W_]+")


def plain(text: str) -> str:
    """Lower case without diacritics, as `unicode61 remove_diacritics 2` keeps words of Latin letters."""
    bare = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(c))
    return unicodedata.normalize("NFC", bare)


#: Words that are in most sentences: they find everything, slowly. English, German, French.
STOP = frozenset(
    plain("""
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
    found = list(dict.fromkeys(_WORD.findall(unicodedata.normalize("NFC", text[:MAX_TEXT].lower()))))
    telling = [word for word in found if plain(word) not in STOP]
    return (telling or found)[:MAX_WORDS]


def query(found: Iterable[str]) -> str:
    """For `MATCH`; "" when there is nothing to look for."""
    return " OR ".join(f'"{word}"' for word in found)


def narrowed(frequencies: Mapping[str, int]) -> str:
    """Both parts of `parted` in one."""
    rare, common = parted(frequencies)
    return " OR ".join(part for part in (rare, f"({common})" if common else "") if part)


def parted(frequencies: Mapping[str, int]) -> tuple[str, str]:
    """For `MATCH`, of words and how many texts have each: those whose texts are not too many, rarest first; and the two
    rarest of the others where they stand together, a common word alone only where there is no other. BM25 weighs what
    is common next to nothing anyway."""
    rare: list[str] = []
    common: list[str] = []
    left = MOST_TEXTS
    for word in sorted(frequencies, key=lambda word: (frequencies[word], word)):
        left -= frequencies[word]
        if left >= 0:
            rare.append(word)
        else:
            common.append(word)
    together = " AND ".join(f'"{word}"' for word in common[:2]) if len(common) > 1 or not rare else ""
    return query(rare), together


def share(found: Iterable[str], text: str) -> float:
    """How many of the words are in `text`, 0 to 1."""
    wanted = {plain(word) for word in found}
    there = map(plain, _WORD.findall(unicodedata.normalize("NFC", text.lower())))
    return len(wanted.intersection(there)) / len(wanted) if wanted else 0.0

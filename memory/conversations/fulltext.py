"""Search in the words of all turns: FTS5, without case and diacritics, best first by BM25."""

from __future__ import annotations

import aiosqlite

from mongarsd.memory.conversations.types import Hit

#: Words of a query that count; each costs a lookup.
MAX_WORDS = 32
#: Longest word that is looked for.
MAX_WORD = 128
#: Words of a snippet.
SNIPPET = 24

#: Turns that a search ranks: of more that have all the words, the newest.
MOST_TURNS = 5000

#: FTS5 hands out its rows by rank, and each is looked up until enough of them are this account's.
_SEARCH = f"""
SELECT t.id, c.id, c.title, t.role, t.created, snippet(turns_fts, 0, '[', ']', '…', {SNIPPET}), -turns_fts.rank
FROM turns_fts CROSS JOIN turns t ON t.number = turns_fts.rowid CROSS JOIN conversations c ON c.number = t.conversation
WHERE turns_fts MATCH ? AND turns_fts.rowid >= ? AND t.account = ? AND c.account = ? ORDER BY turns_fts.rank LIMIT ?
"""  # noqa: S608

_OLDEST = """
SELECT turns_fts.rowid FROM turns_fts CROSS JOIN turns t ON t.number = turns_fts.rowid
WHERE turns_fts MATCH ? AND t.account = ? ORDER BY turns_fts.rowid DESC LIMIT 1 OFFSET ?
"""


def quoted(query: str) -> list[str]:
    """The words of `query`, each as a quoted string of FTS5, in which nothing is syntax.

    A word without a letter or digit has no token, and one such phrase would make the whole search find nothing.
    """
    words = [word[:MAX_WORD] for word in query.replace("\0", " ").split() if any(map(str.isalnum, word[:MAX_WORD]))]
    return ['"' + word.replace('"', '""') + '"' for word in words[:MAX_WORDS]]


async def search(reader: aiosqlite.Connection, account: str, query: str, limit: int) -> list[Hit]:
    if not (words := quoted(query)):
        return []
    match = " AND ".join(words)
    oldest = list(await reader.execute_fetchall(_OLDEST, (match, account, MOST_TURNS - 1)))
    first = oldest[0][0] if oldest else 0
    rows = await reader.execute_fetchall(_SEARCH, (match, first, account, account, limit))
    names = Hit.__struct_fields__
    return [Hit(**dict(zip(names, row, strict=True))) for row in rows]

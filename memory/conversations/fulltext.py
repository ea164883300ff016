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

#: The account counts nothing in the score. The joins are the second lock: they compare the account itself.
_SEARCH = f"""
SELECT t.id, c.id, c.title, t.role, t.created, found.snippet, -found.rank
FROM (
    SELECT rowid, rank, snippet(turns_fts, 0, '[', ']', '…', {SNIPPET}) AS snippet FROM turns_fts
    WHERE turns_fts MATCH ? AND rank MATCH 'bm25(1.0, 0.0)' ORDER BY rank LIMIT ?
) found
JOIN turns t ON t.number = found.rowid JOIN conversations c ON c.number = t.conversation
WHERE t.account = ? AND c.account = ? ORDER BY found.rank
"""  # noqa: S608


def quoted(query: str) -> list[str]:
    """The words of `query`, each as a quoted string of FTS5, in which nothing is syntax.

    A word without a letter or digit has no token, and one such phrase would make the whole search find nothing.
    """
    words = [word[:MAX_WORD] for word in query.replace("\0", " ").split() if any(map(str.isalnum, word[:MAX_WORD]))]
    return ['"' + word.replace('"', '""') + '"' for word in words[:MAX_WORDS]]


def expression(account: str, query: str) -> str:
    """All the words, in a turn of this account; "" = no words."""
    words = " AND ".join(quoted(query))
    return f"account : {quoted(account)[0]} AND content : ({words})" if words else ""


async def search(reader: aiosqlite.Connection, account: str, query: str, limit: int) -> list[Hit]:
    if not (match := expression(account, query)):
        return []
    rows = await reader.execute_fetchall(_SEARCH, (match, limit, account, account))
    names = Hit.__struct_fields__
    return [Hit(**dict(zip(names, row, strict=True))) for row in rows]

"""Texts as vectors, and documents in the order of what they say to a question."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from mongarsd.client.call import Call, given
from mongarsd.client.calls.chats import Priority, Usage


class Embedding(Struct, frozen=True):
    index: int
    embedding: tuple[float, ...]


class Embeddings(Struct, frozen=True, kw_only=True):
    model: str
    data: tuple[Embedding, ...]
    usage: Usage = Usage()

    @property
    def vectors(self) -> list[tuple[float, ...]]:
        """In the order of the texts."""
        return [one.embedding for one in sorted(self.data, key=lambda one: one.index)]


class Ranked(Struct, frozen=True):
    index: int  # in the documents that were given
    relevance_score: float  # 0 to 1


class Ranking(Struct, frozen=True, kw_only=True):
    model: str
    results: tuple[Ranked, ...]  # best first
    usage: Usage = Usage()


def embed(
    texts: str | Iterable[str], *, model: str | None = None, priority: Priority | None = None
) -> Call[Embeddings]:
    """Vectors of texts, 2,048 at most."""
    wanted = texts if isinstance(texts, str) else list(texts)
    return Call("POST", "/v1/embeddings", Embeddings, given({"model": model, "priority": priority}, input=wanted))


def rerank(
    query: str, documents: Iterable[str], *, model: str, top_n: int | None = None, priority: Priority | None = None
) -> Call[Ranking]:
    """Order documents, 2,048 at most, by how well they answer `query`."""
    fields = {"model": model, "query": query, "documents": list(documents), "top_n": top_n, "priority": priority}
    return Call("POST", "/v1/rerank", Ranking, given(fields))

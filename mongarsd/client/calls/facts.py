"""What the node remembers: facts, and the database that holds them and the conversations."""

from __future__ import annotations

from msgspec import Struct

from mongarsd.client.call import QUICK, Call, Page, Paged, path
from mongarsd.client.calls.history import Form
from mongarsd.ground.status import BackupFile, MemoryStatus

_FACTS, _DATABASE = "/v1/memory", "/admin/memory"


class Memory(Struct, frozen=True, kw_only=True):
    id: str
    text: str
    source: str  # "fact", "turn", "document"
    created_at: int
    embedded: bool  # found by its meaning too


class Found(Struct, frozen=True, kw_only=True):
    """`similarity` (cosine; None = not compared) and `words` (share of the question's) say why it was found."""

    memory: Memory
    score: float
    similarity: float | None
    words: float


class FoundMemories(Struct, frozen=True, kw_only=True):
    data: tuple[Found, ...]
    mode: str  # "hybrid", "words"
    why: str  # of "words"


class Checked(Struct, frozen=True):
    result: str


def remember(text: str) -> Call[Memory]:
    """Remember a fact."""
    return Call("POST", _FACTS, Memory, {"text": text})


def memories(*, limit: int = 100) -> Paged[Memory]:
    """What is remembered, newest first."""
    return Paged(lambda after: Call("GET", path(_FACTS, limit=limit, after=after or None), Page[Memory]))


def memory(name: str) -> Call[Memory]:
    """One thing that is remembered."""
    return Call("GET", path(_FACTS, name), Memory)


def search_memory(text: str, *, k: int = 8) -> Call[FoundMemories]:
    """Search what is remembered, by words and by meaning."""
    return Call("GET", path(_FACTS + "/search", q=text, k=k), FoundMemories)


def forget(name: str) -> Call[None]:
    """Forget one memory."""
    return Call("DELETE", path(_FACTS, name), type(None))


def memory_status() -> Call[MemoryStatus]:
    """The database and its backups."""
    return Call("GET", _DATABASE, MemoryStatus, timeout=QUICK)


def backup() -> Call[BackupFile]:
    """Copy the database now."""
    return Call("POST", _DATABASE + "/backup", BackupFile)


def restore(name: str) -> Call[BackupFile]:
    """Put a backup in the place of the database, which is kept beside it."""
    return Call("POST", _DATABASE + "/restore", BackupFile, {"name": name})


def check() -> Call[Checked]:
    """Read every byte of the database."""
    return Call("POST", _DATABASE + "/check", Checked)


def export_account(account: str, *, form: Form = "json") -> Call[None]:
    """Every conversation of an account, as JSON lines or to read."""
    return Call("GET", path(_DATABASE + "/export", account=account, form=form), type(None))

"""What crosses the pipe between the daemon and the child that reads a file: one Request in, Messages out."""

from __future__ import annotations

from msgspec import Struct


class Request(Struct, frozen=True):
    path: str
    filename: str  # as the user named it; its ending counts
    most: int  # tokens
    overlap: int
    memory: int  # bytes of address space
    seconds: int  # of processor time, and until the end


class CutChunk(Struct, frozen=True):
    """As `chunks.Chunk`, with its text."""

    text: str
    start: int
    end: int
    tokens: int
    headings: tuple[str, ...]
    page: int | None


class Batch(Struct, frozen=True, tag=True):
    chunks: tuple[CutChunk, ...]


class Done(Struct, frozen=True, tag=True):
    characters: int


class Failed(Struct, frozen=True, tag=True):
    message: str
    supported: bool


Message = Batch | Done | Failed

"""Passwords as argon2id hashes, through libsodium. One at a time: each takes MEMORY while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from mongarsd.ground.errors import BadRequest, Busy

P = ParamSpec("P")
T = TypeVar("T")

#: 32 MiB and 3 passes: 54 ms on a core of an x86 server; a Pi 4 needs some five times as long. OWASP asks for 19 MiB
#: and 2 at least; libsodium's "interactive" 64 MiB would be an eighth of a 512 MB board, for anybody who knocks.
MEMORY = 32 * 1024**2
PASSES = 3
#: Characters. Longer ones are no safer, and would be hashed nevertheless.
SHORTEST, LONGEST = 8, 256
#: Hashes that may wait for their turn.
QUEUE = 8


class Passwords:
    """`hash` and `check`, in a thread. PyNaCl (2 MB) is loaded at the first use."""

    def __init__(self, memory: int = MEMORY, passes: int = PASSES) -> None:
        self._cost = {"memlimit": memory, "opslimit": passes}
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._nobody = ""

    async def hash(self, password: str) -> str:
        """Raises BadRequest and Busy."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise BadRequest(f"password: {SHORTEST} to {LONGEST} characters", param="password")
        return await self._alone(self._hash, password)

    async def check(self, password: str, known: str | None) -> bool:
        """None = there is no such user; that takes as long as a wrong password. Raises Busy."""
        return await self._alone(self._check, password, known)

    async def _alone(self, work: Callable[P, T], *arguments: P.args, **more: P.kwargs) -> T:
        if self._waiting >= QUEUE:
            raise Busy("too many people log in at once; try again", retry_after=2.0)
        self._waiting += 1
        try:
            async with self._turn:
                # Shielded: a client that leaves must not free the turn while the thread still holds the memory.
                running = asyncio.ensure_future(asyncio.to_thread(work, *arguments, **more))
                try:
                    return await asyncio.shield(running)
                finally:
                    await asyncio.wait((running,))
        finally:
            self._waiting -= 1

    def _hash(self, password: str) -> str:
        from nacl.pwhash import argon2id

        return argon2id.str(_bytes(password), **self._cost).decode()

    def _check(self, password: str, known: str | None) -> bool:
        from nacl.exceptions import InvalidkeyError
        from nacl.pwhash import argon2id

        if known is None and not self._nobody:
            self._nobody = self._hash("nobody knows this one")
        try:
            return argon2id.verify((known or self._nobody).encode(), _bytes(password)) and known is not None
        except InvalidkeyError:
            return False


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")

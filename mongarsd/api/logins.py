"""Who guesses passwords waits, twice as long after each miss."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import NamedTuple

#: Misses that cost nothing: people mistype.
FREE = 3
#: Names and addresses remembered; the one not seen for longest goes.
MOST = 1024
#: Seconds after the last miss when all is forgotten.
FORGOTTEN = 3600.0


class _Misses(NamedTuple):
    number: int
    at: float


class Attempts:
    """By name or by address. `longest`: seconds a single wait may take. Times are monotonic seconds."""

    def __init__(self, longest: float, most: int = MOST) -> None:
        self._longest, self._most = longest, most
        self._of: OrderedDict[str, _Misses] = OrderedDict()

    def wait(self, who: str, now: float) -> float:
        """Seconds until `who` may try again; 0 = now."""
        misses = self._of.get(who)
        if misses is None or misses.number < FREE or now - misses.at >= FORGOTTEN:
            return 0.0
        pause: float = min(2.0 ** min(misses.number - FREE, 32), self._longest)
        return max(misses.at + pause - now, 0.0)

    def missed(self, who: str, now: float) -> None:
        misses = self._of.pop(who, None)
        count = misses.number if misses and now - misses.at < FORGOTTEN else 0
        self._of[who] = _Misses(count + 1, now)
        while len(self._of) > self._most:
            self._of.popitem(last=False)

    def succeeded(self, who: str) -> None:
        self._of.pop(who, None)

    def __len__(self) -> int:
        return len(self._of)


def network(address: str) -> str:
    """What one person has: an IPv4 address, or a /64 of IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if mapped := parsed.ipv4_mapped:
        return str(mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))

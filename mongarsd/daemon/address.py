"""HOST:PORT, IPv6 in brackets."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from mongarsd.ground.loopback import is_loopback

_IPV6 = r"\[([0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?)\]"
_NAME = r"([A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)"
_ADDRESS = re.compile(rf"(?:{_IPV6}|{_NAME}):(\d{{1,5}})", re.ASCII)


class Address(NamedTuple):
    host: str  # without brackets
    port: int  # 0 = any free one

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Only for this machine? A name other than localhost could be anything, so it is not."""
        return is_loopback(self.host) or self.host.lower() == "localhost"


def parse(text: str) -> Address:
    """Raises ValueError with what is expected."""
    match = _ADDRESS.fullmatch(text)
    if not match or int(match[3]) > 65_535:
        raise ValueError(f'expected HOST:PORT, for example "127.0.0.1:8420" or "[::1]:8420", not {text!r}')
    host = match[1] or match[2]
    if match[1]:
        try:
            ipaddress.IPv6Address(match[1])
        except ValueError as error:
            raise ValueError(f"{text!r} has no valid IPv6 address in its brackets") from error
    return Address(host, int(match[3]))

"""Where a daemon is, and what to say when it does not answer there. Opens nothing."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from mongarsd.client import places
from mongarsd.client.errors import BadAddress, BrokenOff, Forbidden, MongarsError, Unreachable

_KEY = re.compile(r"[!-~]{1,4096}")  # visible ASCII: what a header takes


class Address:
    """A URL, or control sockets of which the first that answers is taken. Shows itself without the key."""

    def __init__(
        self, url: str | None, key: str | None, socket: str | os.PathLike[str] | None, environ: Mapping[str, str]
    ) -> None:
        """What is not given is looked up in `environ`: MONGARSD_API_KEY, MONGARSD_SOCKET. Raises BadAddress."""
        if url and socket:
            raise BadAddress("give a URL or a socket, not both")
        self.url = url or ""
        self.key = (key or environ.get("MONGARSD_API_KEY") or "").strip()
        if self.key and not _KEY.fullmatch(self.key):
            raise BadAddress("the key has characters that no key has: it is letters, digits and punctuation")
        self.tls = False
        self.host, self.port = "localhost", 0
        self.base = ""  # of every path
        self.sockets: list[Path] = []
        if url:
            self._parse(url)
        else:
            named = socket or environ.get("MONGARSD_SOCKET") or None
            self.sockets = places.control_sockets(Path(named) if named else None, environ)

    def __str__(self) -> str:
        return self.url or str(self.sockets[0])

    @property
    def origin(self) -> str:
        """`http://HOST:PORT`; over a socket with a host that the daemon takes for itself."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}" + (f":{self.port}" if self.port else "")

    def websocket(self, path: str) -> str:
        return "ws" + self.origin.removeprefix("http") + self.base + path

    def _parse(self, url: str) -> None:
        shown = "the URL" if "@" in url else f"the URL {url}"  # what stands before an @ may be a password
        wrong = BadAddress(
            f"{shown} is not of the form http://HOST:PORT, for example http://raspberrypi.local:8420", param="url"
        )
        try:
            parts = urlsplit(url)
            port = parts.port
            host = (parts.hostname or "").encode("idna").decode()  # as whoever looks it up would
        except ValueError:
            raise wrong from None
        if parts.scheme not in ("http", "https") or not host or not host.isprintable() or " " in host:
            raise wrong
        if parts.query or parts.fragment:
            raise wrong
        if "@" in parts.netloc:
            raise BadAddress("the URL has a user or password in it: give the key by itself", param="url")
        self.tls = parts.scheme == "https"
        self.host, self.port = host, port or (443 if self.tls else 80)
        # The base URL that OpenAI clients want ends in /v1: take it too.
        self.base = quote(parts.path.rstrip("/").removesuffix("/v1"), safe="/%")

    def silent(self, seconds: float) -> Unreachable:
        return Unreachable(f"{self} was silent for {seconds:.0f} s; `mongarsctl doctor` may know why")

    def broke(self, error: Exception, begun: bool) -> Unreachable:
        """`begun`: the answer had."""
        return (BrokenOff if begun else Unreachable)(f"the connection to {self} broke: {reason(error)}")

    def broke_off(self) -> BrokenOff:
        return BrokenOff(f"the connection to {self} broke in the middle of the answer")

    def unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(
            f"nothing answers at {self.url}: {reason(error)}; is mongarsd running there, and set to listen on more "
            "than 127.0.0.1?"
        )


class Search:
    """Looking for the control socket that answers: tell it how each try failed, then what it all means."""

    def __init__(self, address: Address) -> None:
        self._paths = address.sockets
        self._denied: Path | None = None

    def paths(self) -> Iterator[Path]:
        """To try, in this order. Raises BadAddress."""
        for path in self._paths:
            if len(os.fsencode(path)) > places.LONGEST_PATH:
                raise BadAddress(f"{path} is too long for a Unix socket ({places.LONGEST_PATH} bytes at most)")
            yield path

    def failed(self, path: Path, error: OSError) -> None:
        """Returns when the next path is worth a try. Raises Unreachable."""
        if isinstance(error, PermissionError):
            self._denied = self._denied or path
        elif error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ECONNREFUSED, errno.ENOTSOCK):
            raise Unreachable(f"{path} cannot be used: {reason(error)}") from error

    def error(self) -> MongarsError:
        """None of them answered."""
        if self._denied:
            return Forbidden(
                f"mongarsd is running, but you may not use {self._denied}: join its group with "
                f"`sudo usermod -aG {_group(self._denied)} $USER` and log in again, or use sudo"
            )
        first, *others = self._paths
        looked = "any of " + ", ".join(map(str, self._paths)) if others else str(first)
        return Unreachable(
            f"mongarsd is not running (no daemon answers at {looked}): start it with {places.how_to_start()}; "
            "if it has a state directory of its own, name that with --socket DIR"
        )


def reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _group(path: Path) -> str:
    import grp

    try:
        return grp.getgrgid(path.stat().st_gid).gr_name
    except (OSError, KeyError):
        return "mongarsd"

"""Whom a download may talk to: decided on the URL of every hop and on the address its name resolves to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from mongarsd.ground.errors import SourceUnavailable
from mongarsd.ground.loopback import is_loopback

#: The hub, and the content networks that it redirects to.
HUB_HOSTS = ("huggingface.co", "hf.co", "xethub.hf.co")


class ForbiddenHop(SourceUnavailable):
    """The hub, or somebody in its place, pointed to where downloads do not go."""


def is_public(address: str) -> bool:
    """May a name that somebody else controls resolve to it? Anything but plain global unicast is refused."""
    try:
        ip = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip.sixtofour or ip
        if ip in ipaddress.ip_network("64:ff9b::/96"):  # NAT64 embeds an IPv4 address
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


class Policy:
    """The rules for one endpoint (the user's own choice, so it may be private; nobody it points to may)."""

    def __init__(self, endpoint: URL) -> None:
        self.endpoint = endpoint

    def check_endpoint(self) -> None:
        """Raises ForbiddenHop when the endpoint itself is no https URL, nor an http one on the loopback."""
        if self.endpoint.scheme != "https" and not (self.endpoint.scheme == "http" and self._local(self.endpoint)):
            raise ForbiddenHop(f"HF_ENDPOINT {self.endpoint.with_user(None)} must be https (http only on loopback).")

    def check(self, url: URL) -> None:
        """Raises ForbiddenHop unless a request may go to `url`."""
        host = (url.host or "").rstrip(".").lower()
        same = host == self.endpoint.host
        local = self._local(url) and self._local(self.endpoint)
        if url.user is not None or url.password is not None or not host:
            raise ForbiddenHop(f"A redirect to {host or 'nowhere'} with credentials in it is not followed.")
        if url.scheme != "https" and not (url.scheme == "http" and local and self.endpoint.scheme == "http"):
            raise ForbiddenHop(f"A redirect to {url.scheme}://{host} is not followed: only https is.")
        if not (same or local or any(host == known or host.endswith("." + known) for known in HUB_HOSTS)):
            raise ForbiddenHop(f"A redirect to {host} is not followed: it does not belong to the hub.")
        if _is_address(host) and not same and not local and not is_public(host):
            raise ForbiddenHop(f"A redirect to the private address {host} is not followed.")

    def may_have_token(self, url: URL) -> bool:
        return url.origin() == self.endpoint.origin()

    def address_allowed(self, host: str, address: str) -> bool:
        """May a connection to `host` use this address of it?"""
        host = host.rstrip(".").lower()
        return host == self.endpoint.host or (self._local(self.endpoint) and host == "localhost") or is_public(address)

    @staticmethod
    def _local(url: URL) -> bool:
        host = url.host or ""
        return host == "localhost" or is_loopback(host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class CheckedResolver(AbstractResolver):
    """Gives aiohttp only addresses that the policy allows: the address that was checked is the one connected to."""

    def __init__(self, allowed: Callable[[str, str], bool], inner: AbstractResolver | None = None) -> None:
        self._allowed = allowed
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        allowed = [result for result in found if self._allowed(host, result["host"])]
        if not allowed:
            raise ForbiddenHop(f"{host} resolves to a private address; downloads do not go there.")
        return allowed

    async def close(self) -> None:
        await self._inner.close()

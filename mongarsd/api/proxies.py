"""Requests that came through a proxy, such as the one that does TLS: all of them come from its address."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from aiohttp import web

from mongarsd.api.connection import address, trusts
from mongarsd.api.parts import PARTS

FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-IP")


def came_through_one(request: web.Request) -> bool:
    """By what proxies write: Caddy, Traefik and Apache always do."""
    return any(name in request.headers for name in FORWARDED)


def client_address(request: web.Request) -> str:
    """The client's IP address: where a proxy of `server.trusted_proxies` is the peer, the one it names. Empty for a
    Unix socket."""
    trusted = request.app[PARTS].settings.server.trusted_proxies
    return named(address(request.transport), request.headers.getall("X-Forwarded-For", []), trusted)


def named(peer: str, headers: Sequence[str], trusted: Sequence[str]) -> str:
    """The nearest address that is not a trusted proxy's: what stands before it anybody may have written. Pure."""
    hops = [hop.strip() for header in headers for hop in header.split(",")]
    while hops and trusts(trusted, peer):
        try:
            peer = str(ipaddress.ip_address(hops.pop()))
        except ValueError:
            break
    return peer

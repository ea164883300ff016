from __future__ import annotations

import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from mongarsd.inference.models.sources.origin import CheckedResolver, ForbiddenHop, Policy, is_public

HUB = Policy(URL("https://huggingface.co"))
LOCAL = Policy(URL("http://127.0.0.1:8080"))


@pytest.mark.parametrize(
    ("policy", "url"),
    [
        (HUB, "https://huggingface.co/a"),
        (HUB, "https://cdn-lfs-us-1.hf.co/a?sig=1"),
        (HUB, "https://cas-bridge.xethub.hf.co/a"),
        (HUB, "https://HuggingFace.co./a"),
        (LOCAL, "http://127.0.0.1:9090/a"),
        (LOCAL, "http://localhost:9090/a"),
        (LOCAL, "https://cdn-lfs.hf.co/a"),
        (Policy(URL("https://mirror.lan/hf")), "https://mirror.lan/a"),
    ],
)
def test_allowed(policy: Policy, url: str) -> None:
    policy.check(URL(url))


@pytest.mark.parametrize(
    ("policy", "url"),
    [
        (HUB, "http://huggingface.co/a"),
        (HUB, "https://evilhf.co/a"),
        (HUB, "https://hf.co.evil.example/a"),
        (HUB, "https://huggingface.co@evil.example/a"),
        (HUB, "https://me:pw@huggingface.co/a"),
        (HUB, "https://127.0.0.1/a"),
        (HUB, "http://localhost/a"),
        (HUB, "https://[::1]/a"),
        (HUB, "https://8.8.8.8/a"),
        (HUB, "ftp://huggingface.co/a"),
        (LOCAL, "http://huggingface.co/a"),
        (LOCAL, "http://10.0.0.1/a"),
        (Policy(URL("https://mirror.lan")), "http://mirror.lan/a"),
        (Policy(URL("https://mirror.lan")), "http://127.0.0.1/a"),
    ],
)
def test_forbidden(policy: Policy, url: str) -> None:
    with pytest.raises(ForbiddenHop):
        policy.check(URL(url))


@pytest.mark.parametrize("endpoint", ["http://huggingface.co", "http://192.168.1.5", "ftp://127.0.0.1"])
def test_endpoint_must_be_https(endpoint: str) -> None:
    with pytest.raises(ForbiddenHop):
        Policy(URL(endpoint)).check_endpoint()


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://huggingface.co",
        "https://10.0.0.5",
        "http://localhost:1",
        "http://[::1]:1",
        "http://[::ffff:127.0.0.1]:1",
    ],
)
def test_good_endpoints(endpoint: str) -> None:
    Policy(URL(endpoint)).check_endpoint()


def test_token_only_to_the_endpoint_itself() -> None:
    assert HUB.may_have_token(URL("https://huggingface.co/x"))
    for other in ("https://hf.co", "https://huggingface.co:444", "http://huggingface.co", "https://x.huggingface.co"):
        assert not HUB.may_have_token(URL(other))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1"),
        *("64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1", "not an address"),
    ],
)  # fmt: skip
def test_not_public(address: str) -> None:
    assert not is_public(address)


class FixedResolver(AbstractResolver):
    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None: ...


async def test_only_checked_addresses_are_handed_out() -> None:
    resolver = CheckedResolver(HUB.address_allowed, FixedResolver("10.0.0.1", "8.8.8.8", "127.0.0.1"))
    assert [found["host"] for found in await resolver.resolve("cdn-lfs.hf.co")] == ["8.8.8.8"]


async def test_rebound_name_is_refused() -> None:
    resolver = CheckedResolver(HUB.address_allowed, FixedResolver("169.254.169.254"))
    with pytest.raises(ForbiddenHop, match="private address"):
        await resolver.resolve("cdn-lfs.hf.co")


async def test_private_mirror_of_the_users_own_choice_is_allowed() -> None:
    mirror = Policy(URL("https://mirror.lan"))
    resolver = CheckedResolver(mirror.address_allowed, FixedResolver("192.168.1.5"))
    assert await resolver.resolve("mirror.lan")
    with pytest.raises(ForbiddenHop):
        await resolver.resolve("cdn-lfs.hf.co")

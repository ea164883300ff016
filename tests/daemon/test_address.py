from __future__ import annotations

import pytest

from mongarsd.daemon.address import parse


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:8420", "127.0.0.1", 8420, True),
        ("127.9.9.9:0", "127.9.9.9", 0, True),
        ("localhost:80", "localhost", 80, True),
        ("[::1]:8420", "::1", 8420, True),
        ("0.0.0.0:8420", "0.0.0.0", 8420, False),
        ("[::]:8420", "::", 8420, False),
        ("[fe80::1%eth0]:8420", "fe80::1%eth0", 8420, False),
        ("[::ffff:127.0.0.1]:1", "::ffff:127.0.0.1", 1, True),
        ("[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1", 1, False),
        ("pi.local:8420", "pi.local", 8420, False),
    ],
)
def test_valid(text: str, host: str, port: int, loopback: bool) -> None:
    address = parse(text)
    assert (address.host, address.port, address.loopback, str(address)) == (host, port, loopback, text)


@pytest.mark.parametrize(
    "text",
    ["", "8420", ":8420", "127.0.0.1", "::1:8420", "[::1]", "[::g]:1", "[1.2.3.4]:1", "a:65536", "a:-1", "a b:1"],
)
def test_invalid(text: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|IPv6"):
        parse(text)

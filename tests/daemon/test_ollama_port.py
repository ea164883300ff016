"""Ollama's port beside the node's own."""

from __future__ import annotations

import socket

import pytest

from mongarsd.daemon import listen
from mongarsd.daemon.address import Address
from mongarsd.daemon.listen import bind_all, bind_ollama, bound_address
from mongarsd.ground.errors import StartError


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A free one in place of 11434, which an Ollama on this machine may hold."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        free: int = sock.getsockname()[1]
    monkeypatch.setattr(listen, "OLLAMA_PORT", free)
    return free


HERE = [Address("127.0.0.1", 8420), Address("127.0.0.1", 8421)]


@pytest.mark.parametrize("wish", ["auto", "on"])
def test_where_it_is_free_it_is_taken_once_for_each_host(port: int, wish: str) -> None:
    (sock,) = bind_ollama(HERE, wish)
    with sock:
        assert bound_address(sock) == Address("127.0.0.1", port)


def test_off(port: int) -> None:
    assert bind_ollama(HERE, "off") == []


def test_where_it_is_taken_auto_goes_without_and_on_says_so(port: int) -> None:
    (taken,) = bind_all([f"127.0.0.1:{port}"])
    with taken:
        assert bind_ollama(HERE, "auto") == []
        with pytest.raises(StartError, match=str(port)):
            bind_ollama(HERE, "on")


def test_a_node_that_listens_there_already_is_left_alone(port: int) -> None:
    assert bind_ollama([Address("127.0.0.1", port)], "on") == []

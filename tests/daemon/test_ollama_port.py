"""Ollama's port beside the node's own."""

from __future__ import annotations

import ipaddress
import os
import socket

import pytest

from mongarsd.daemon import listen
from mongarsd.daemon.address import Address
from mongarsd.daemon.listen import bind_all, bind_ollama, bound_address
from mongarsd.ground.errors import StartError

#: An address of this machine that no other process uses, so that a port which is free there stays free.
HOST = str(ipaddress.IPv4Address((127 << 24) + (1 << 23) + os.getpid() % (1 << 23)))
HERE = [Address(HOST, 8420), Address(HOST, 8421)]


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A free one in place of 11434, which an Ollama on this machine may hold."""
    with socket.create_server((HOST, 0)) as sock:
        free: int = sock.getsockname()[1]
    monkeypatch.setattr(listen, "OLLAMA_PORT", free)
    return free


@pytest.mark.parametrize("wish", ["auto", "on"])
def test_where_it_is_free_it_is_taken_once_for_each_host(port: int, wish: str) -> None:
    (sock,) = bind_ollama(HERE, wish)
    with sock:
        assert bound_address(sock) == Address(HOST, port)


def test_off(port: int) -> None:
    assert bind_ollama(HERE, "off") == []


def test_where_it_is_taken_auto_goes_without_and_on_says_so(port: int) -> None:
    (taken,) = bind_all([f"{HOST}:{port}"])
    with taken:
        assert bind_ollama(HERE, "auto") == []
        with pytest.raises(StartError, match=str(port)):
            bind_ollama(HERE, "on")


def test_a_node_that_listens_there_already_is_left_alone(port: int) -> None:
    assert bind_ollama([Address(HOST, port)], "on") == []

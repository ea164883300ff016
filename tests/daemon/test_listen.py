from __future__ import annotations

import grp
import os
import re
import socket
from pathlib import Path

import pytest
from fakes.network import has_ipv6

from mongarsd.daemon.listen import bind_all, bind_control, bound_address, control_path
from mongarsd.ground.errors import StartError


def test_binds_every_address() -> None:
    sockets = bind_all(["127.0.0.1:0", "127.0.0.2:0"])
    assert [bound_address(sock).host for sock in sockets] == ["127.0.0.1", "127.0.0.2"]
    for sock in sockets:
        sock.close()


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_ipv6() -> None:
    (sock,) = bind_all(["[::1]:0"])
    assert re.fullmatch(r"\[::1\]:\d+", str(bound_address(sock)))
    sock.close()


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_all_of_ipv4_and_all_of_ipv6_on_one_port() -> None:
    for _ in range(20):  # another program may have the one port that chance gives
        (first,) = bind_all(["0.0.0.0:0"])
        with first:
            try:
                (second,) = bind_all([f"[::]:{bound_address(first).port}"])
            except StartError:
                continue
        second.close()
        return
    pytest.fail("both never had the same port")


def test_port_in_use_names_the_address_and_the_process() -> None:
    (taken,) = bind_all(["127.0.0.1:0"])
    port = bound_address(taken).port
    with pytest.raises(
        StartError, match=rf"port {port} on 127.0.0.1 is already in use by .* \(process {os.getpid()}\)"
    ):
        bind_all(["127.0.0.2:0", f"127.0.0.1:{port}"])
    taken.close()


@pytest.mark.parametrize("address", ["192.0.2.1:0", "no-such-host.invalid:80"])
def test_addresses_that_are_not_ours(address: str) -> None:
    with pytest.raises(StartError, match=f"cannot listen on {address}"):
        bind_all([address])


def test_an_inherited_socket_must_be_tcp() -> None:
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(StartError, match="not TCP"):
        bound_address(sock)


def test_control_path() -> None:
    state = Path("/state")
    assert control_path("/x.sock", {"RUNTIME_DIRECTORY": "/run/m"}, state) == Path("/x.sock")
    assert control_path("", {"RUNTIME_DIRECTORY": "/run/m:/run/n"}, state) == Path("/run/m/control.sock")
    assert control_path("", {}, state) == Path("/state/control.sock")


def test_control_socket_mode_and_group(tmp_path: Path) -> None:
    group = grp.getgrgid(os.getgid()).gr_name
    path = tmp_path / "control.sock"
    sock = bind_control(path, group)
    assert path.stat().st_mode & 0o777 == 0o660
    assert path.stat().st_gid == os.getgid()
    with pytest.raises(StartError, match="another daemon answers"):
        bind_control(path, "")
    sock.close()
    bind_control(path, "").close()  # nobody answers any more: replaced


def test_control_socket_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="is not a socket"):
        bind_control(tmp_path / "file", "")
    with pytest.raises(StartError, match="no group 'no-such-group'"):
        bind_control(tmp_path / "a.sock", "no-such-group")
    assert not (tmp_path / "a.sock").exists()
    with pytest.raises(StartError, match="cannot be made"):
        bind_control(tmp_path / "absent" / "a.sock", "")
    with pytest.raises(StartError, match=r"cannot be made: .*too long"):
        bind_control(tmp_path / ("x" * 120), "")

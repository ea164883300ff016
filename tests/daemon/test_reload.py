from __future__ import annotations

import asyncio
import logging
import re
import signal
from importlib import resources
from pathlib import Path

import pytest

from mongarsd.daemon import daemon
from mongarsd.daemon.address import Address
from mongarsd.daemon.config import FIELDS, Config, load
from mongarsd.daemon.keys import key_hash, new_key
from mongarsd.daemon.reload import RELOADABLE, merge


def test_default_toml_marks_what_can_be_reloaded() -> None:
    text = resources.files("mongarsd.daemon").joinpath("default.toml").read_text()
    marked, group, marks = set(), "", False
    for line in text.partition("\n\n")[2].splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            group = header[1]
        elif key := re.match(r"(\w+) = ", line):
            marked |= {f"{group}.{key[1]}"} if marks else set()
            continue  # a comment may stand above two keys
        marks = "(reload)" in line
    assert marked == RELOADABLE
    assert set(FIELDS) >= RELOADABLE


def test_merge_takes_what_it_can_and_names_the_rest() -> None:
    old = load(None, {"MONGARSD_SERVER_PING_INTERVAL": "3", "MONGARSD_MODELS_DEFAULT": "a"}, {})
    new = load(None, {"MONGARSD_SERVER_MAX_BODY": "4096", "MONGARSD_MODELS_DEFAULT": "b"}, {"log.level": "debug"})
    merged, applied, waiting = merge(old, new)
    assert sorted(applied) == ["log.level", "server.max_body", "server.ping_interval"]
    assert waiting == ["models.default"]
    assert merged.settings.server.max_body == 4096
    assert merged.settings.server.ping_interval == 10.0
    assert merged.settings.models.default == "a"
    assert dict(merged.origins) == {
        "log.level": "--log-level",
        "server.max_body": "MONGARSD_SERVER_MAX_BODY",
        "models.default": "MONGARSD_MODELS_DEFAULT",
    }


def test_merge_of_the_same_changes_nothing() -> None:
    config = load(None, {}, {})
    merged, applied, waiting = merge(config, load(None, {}, {}))
    assert (merged.settings, applied, waiting) == (config.settings, [], [])


async def test_the_last_key_stays_while_others_can_reach_the_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The new settings are in order for the loopback they name, but the sockets stay where they are."""
    common = {"MONGARSD_MODELS_OFFLINE": "1", "MONGARSD_SERVER_LISTEN": "127.0.0.1:0"}
    closed = load(None, {**common, "MONGARSD_SERVER_KEY_HASHES": key_hash(new_key())}, {})
    given: list[Config] = [load(None, common, {})]
    monkeypatch.setattr(daemon, "bound_address", lambda sock: Address("192.168.1.5", sock.getsockname()[1]))
    caplog.set_level(logging.INFO, "mongarsd.daemon.daemon")
    running = daemon.Daemon(closed, tmp_path, lambda: given[0])
    try:
        await running.start()
        signal.raise_signal(signal.SIGHUP)
        await asyncio.sleep(0.05)
        assert "settings not reloaded" in caplog.text
        assert "settings reloaded" not in caplog.text
    finally:
        await running.close()

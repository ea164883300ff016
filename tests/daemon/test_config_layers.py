from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from mongarsd.daemon import config
from mongarsd.daemon.config import FIELDS, changed, load
from mongarsd.daemon.keys import key_hash, new_key
from mongarsd.ground.errors import SettingsError
from mongarsd.ground.settings import Settings

DEFAULTS = resources.files("mongarsd.daemon").joinpath("default.toml").read_text()


def errors(file: Path | None, environ: dict[str, str] | None = None, flags: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(file, environ or {}, flags or {})
    return caught.value.message.splitlines()


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "mongarsd.toml"


@pytest.fixture(autouse=True)
def no_system_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DEFAULT_FILE", tmp_path / "absent.toml")


def test_without_any_layer_everything_is_at_its_default() -> None:
    loaded = load(None, {"PATH": "/bin"}, {})
    assert loaded.settings == Settings()
    assert {origin for _, _, origin in loaded.effective()} == {"default"}


def test_default_toml_has_every_key_at_its_default(toml: Path) -> None:
    toml.write_text(DEFAULTS)
    assert load(toml, {}, {}).settings == Settings()
    document = tomllib.loads(DEFAULTS)
    assert [f"{group}.{name}" for group, table in document.items() for name in table] == list(FIELDS)


def test_default_toml_explains_every_key() -> None:
    lines = DEFAULTS.splitlines()
    for number, line in enumerate(lines):
        if re.match(r"\w+ = ", line):  # a comment may stand above a pair of keys
            assert lines[number - 1].startswith("#") or lines[number - 2].startswith("#"), line


def test_later_layers_win_and_say_where_from(toml: Path) -> None:
    toml.write_text('[server]\ndrain = "1m"\nping_interval = 5\nmax_body = "2MiB"\n[log]\nlevel = "debug"\n')
    environ = {"MONGARSD_SERVER_PING_INTERVAL": "500ms", "MONGARSD_LOG_LEVEL": "error"}
    loaded = load(toml, environ, {"log.level": "warning"})
    assert loaded.settings.server.drain == 60.0
    assert loaded.settings.server.ping_interval == 0.5
    assert loaded.settings.server.max_body == 2 << 20
    assert loaded.settings.log.level == "warning"
    origins = {key: origin for key, _, origin in loaded.effective()}
    assert origins["server.drain"] == str(toml)
    assert origins["server.ping_interval"] == "MONGARSD_SERVER_PING_INTERVAL"
    assert origins["log.level"] == "--log-level"
    assert origins["log.format"] == "default"


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("MONGARSD_SERVER_LISTEN", "127.0.0.1:1, [::1]:2", "server.listen", ("127.0.0.1:1", "[::1]:2")),
        ("MONGARSD_SERVER_ALLOWED_HOSTS", "", "server.allowed_hosts", ()),
        ("MONGARSD_MODELS_PRELOAD", "off", "models.preload", False),
        ("MONGARSD_MODELS_OFFLINE", "1", "models.offline", True),
        ("MONGARSD_MODELS_KEEP_ALIVE", "-1", "models.keep_alive", -1.0),
        ("MONGARSD_INFERENCE_SLOTS", "8", "inference.slots", 8),
        ("MONGARSD_INFERENCE_SLOTS", "auto", "inference.slots", "auto"),
        ("MONGARSD_INFERENCE_MEMORY_BUDGET", "1GiB", "inference.memory_budget", 1 << 30),
        ("MONGARSD_INFERENCE_QUEUE", "0", "inference.queue", 0),
        ("MONGARSD_CONTROL_SOCKET", "/run/x.sock", "control.socket", "/run/x.sock"),
    ],
)
def test_environment(name: str, text: str, key: str, value: object) -> None:
    assert (key, value, name) in load(None, {name: text}, {}).effective()


def test_all_errors_of_all_layers_at_once(toml: Path) -> None:
    toml.write_text(
        'colour = 1\n[server]\ndrane = 1\nlisten = ["nowhere"]\nmax_body = "2 apples"\n'
        "[inference]\nslots = 99\n[servers]\nlisten = []\n"
    )
    found = errors(toml, {"MONGARSD_LOG_LEVL": "info", "MONGARSD_MODELS_PRELOAD": "maybe"}, {"log.level": "loud"})
    assert found == [
        f"{toml}: colour: no such group of settings",
        f"{toml}: server.drane: no such setting; did you mean server.drain?",
        f"{toml}: servers: no such group of settings; did you mean server?",
        "MONGARSD_LOG_LEVL: no such setting; did you mean MONGARSD_LOG_LEVEL?",
        f"{toml}: server.max_body: expected a number, or a number with one of the units B, kB, MB, GB, KiB, MiB, GiB, "
        "not '2 apples'",
        f"{toml}: inference.slots: expected int <= 64, not 99",
        "MONGARSD_MODELS_PRELOAD: models.preload: expected bool, got str, not 'maybe'",
        '--log-level: log.level: expected "debug", "info", "warning", "error", not \'loud\'',
        f'{toml}: server.listen: expected HOST:PORT, for example "127.0.0.1:8420" or "[::1]:8420", not \'nowhere\'',
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server\n", "not valid TOML: Expected ']'"),
        ("[server]\ndrain = 1\ndrain = 2\n", "not valid TOML: Cannot overwrite"),
        ("server = 1\n", "server: must be a table, written [server]"),
        ("[server]\nlisten = 5\n", "server.listen: expected array, got int, not 5"),
        ('[inference]\nslots = "many"\n', "inference.slots: expected \"auto\" or an integer, not 'many'"),
        ("[server]\ndrain = true\n", "server.drain: expected float, got bool, not True"),
    ],
)
def test_bad_file(toml: Path, text: str, message: str) -> None:
    toml.write_text(text)
    (line,) = errors(toml)
    assert line.startswith(f"{toml}: {message}")


@pytest.mark.parametrize(
    ("key", "right", "wrong"),
    [
        ("allowed_hosts", ("pi", "Pi.Example.org", "10.0.0.2", "[fd00::1]"), ("http://pi", "pi:8420", "*", "pi/")),
        (
            "allowed_origins",
            ("https://chat.example", "http://localhost:3000", "app://obsidian.md", "http://[::1]:3000"),
            ("*", "null", "https://chat.example/", "https://Chat.example", "chat.example", "https://*.example"),
        ),
    ],
)
def test_what_no_client_ever_sends_is_no_setting(key: str, right: tuple[str, ...], wrong: tuple[str, ...]) -> None:
    name = f"MONGARSD_SERVER_{key.upper()}"
    assert getattr(load(None, {name: ",".join(right)}, {}).settings.server, key) == right
    for text in wrong:
        (line,) = errors(None, {name: text})
        assert line.startswith(f"{name}: server.{key}: expected ")
        assert line.endswith(f", not {text!r}")


def test_unreadable_files(tmp_path: Path) -> None:
    assert errors(tmp_path / "absent") == [f"{tmp_path / 'absent'}: no such file"]
    assert errors(tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert errors(tmp_path / "binary")[0].startswith(f"{tmp_path / 'binary'}: not valid TOML")


def test_a_key_in_place_of_its_hash_is_not_repeated() -> None:
    key = new_key()
    (line,) = errors(None, {"MONGARSD_SERVER_KEY_HASHES": key})
    assert "mongarsd --new-key" in line
    assert key not in line


def test_secrets_are_hidden_and_changes_named() -> None:
    hashed = key_hash(new_key())
    new = load(None, {"MONGARSD_SERVER_KEY_HASHES": hashed}, {})
    assert hashed not in str(new.effective())
    assert changed(load(None, {}, {}), new) == ["server.key_hashes"]

"""Settings in layers: defaults < TOML file < environment < flags. Every error of every layer is reported at once."""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import structs

from mongarsd.daemon import units
from mongarsd.daemon.address import parse
from mongarsd.ground.errors import SettingsError
from mongarsd.ground.settings import Settings

DEFAULT_FILE = Path("/etc/mongarsd/mongarsd.toml")
PREFIX = "MONGARSD_"
#: Not settings of the daemon: mongarsctl reads them.
FOREIGN = frozenset({"MONGARSD_SOCKET", "MONGARSD_API_KEY"})
SECRET = frozenset({"server.key_hashes"})
#: Integer keys that count bytes; every key with a float default counts seconds.
BYTES = frozenset(
    {
        *("server.max_body", "inference.memory_budget"),
        *("cache.ram", "cache.disk", "cache.answers", "cache.disk_writes_per_day"),
        *("documents.max_file", "documents.max_bytes"),
    }
)
FLAGS = {"server.listen": "--listen", "log.level": "--log-level"}
NO_KEY = (
    "server.listen: {address} can be reached from other machines, but there is no key; "
    "listen on 127.0.0.1 only, and run `mongarsctl setup`, which makes the first key and says how to go on "
    "(a static key, for a node that is set up by a program: `mongarsd --new-key`)"
)

FIELDS: dict[str, structs.FieldInfo] = {
    f"{group.name}.{field.name}": field for group in structs.fields(Settings) for field in structs.fields(group.type)
}
#: What is compared with what clients send, letter by letter: in any other form it would never be the same.
_FORMS = (
    ("allowed_hosts", re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9.-]*"), "a name without scheme and port"),
    (
        "allowed_origins",
        re.compile(r"[a-z][a-z0-9+.-]*://[^\sA-Z/?#@*]+"),
        "scheme://name or scheme://name:port in small letters, without a path",
    ),
)
_VARIABLES = {PREFIX + key.replace(".", "_").upper(): key for key in FIELDS}
_BOOLS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


@dataclass(frozen=True)
class Origin:
    """One key's value in one layer. `where` is what a person can go to: a file, a variable, a flag."""

    key: str
    raw: Any
    where: str


@dataclass(frozen=True)
class Config:
    """The settings, and for each key that is not at its default where it was set."""

    settings: Settings
    origins: Mapping[str, str]

    def effective(self) -> list[tuple[str, Any, str]]:
        """Every key, its value (secrets only counted) and its origin, in the order of default.toml."""
        rows = []
        for key in FIELDS:
            value = _value(self.settings, key)
            if key in SECRET:
                value = f"({len(value)} hidden)"
            rows.append((key, value, self.origins.get(key, "default")))
        return rows


def load(file: Path | None, environ: Mapping[str, str], flags: Mapping[str, Any]) -> Config:
    """`file` None means the default file, which may be missing; a named one must exist. `flags` maps keys to values.

    Raises SettingsError with one line for each error.
    """
    errors: list[str] = []
    layers = [*_read_file(file, errors), *_read_environment(environ, errors)]
    layers += [Origin(key, raw, FLAGS[key]) for key, raw in flags.items()]
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        try:
            values[layer.key] = _convert(layer.key, layer.raw)
            origins[layer.key] = layer.where
        except (ValueError, msgspec.ValidationError) as error:
            errors.append(f"{layer.where}: {layer.key}: {_explain(layer, error)}")
    groups = {
        group.name: group.type(**{key.partition(".")[2]: v for key, v in values.items() if _in(group.name, key)})
        for group in structs.fields(Settings)
    }
    settings = Settings(**groups)
    errors += _check(settings, origins)
    if errors:
        raise SettingsError("\n".join(errors))
    return Config(settings, origins)


def changed(old: Config, new: Config) -> list[str]:
    """The keys whose values differ."""
    return [key for key in FIELDS if _value(old.settings, key) != _value(new.settings, key)]


def _in(group: str, key: str) -> bool:
    return key.startswith(group + ".")


def _value(settings: Settings, key: str) -> Any:
    group, _, name = key.partition(".")
    return getattr(getattr(settings, group), name)


def _read_file(file: Path | None, errors: list[str]) -> list[Origin]:
    path = file or DEFAULT_FILE
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if file:
            errors.append(f"{path}: no such file")
        return []
    except OSError as error:
        errors.append(f"{path}: cannot be read: {error.strerror}")
        return []
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        errors.append(f"{path}: not valid TOML: {error}")
        return []
    found = []
    groups = [group.name for group in structs.fields(Settings)]
    for group, table in document.items():
        if group not in groups:
            errors.append(f"{path}: {group}: no such group of settings{_suggest(group, groups)}")
        elif not isinstance(table, dict):
            errors.append(f"{path}: {group}: must be a table, written [{group}]")
        else:
            for name, raw in table.items():
                key = f"{group}.{name}"
                if key in FIELDS:
                    found.append(Origin(key, raw, str(path)))
                else:
                    errors.append(f"{path}: {key}: no such setting{_suggest(key, FIELDS)}")
    return found


def _read_environment(environ: Mapping[str, str], errors: list[str]) -> list[Origin]:
    found = []
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or name in FOREIGN:
            continue
        if key := _VARIABLES.get(name):
            found.append(Origin(key, _from_text(key, text), name))
        else:
            errors.append(f"{name}: no such setting{_suggest(name, _VARIABLES)}")
    return found


def _from_text(key: str, text: str) -> Any:
    """What a TOML file would have given, as far as `text` can be read so; else `text`, which is refused later."""
    default = FIELDS[key].default
    if isinstance(default, tuple):
        return [item.strip() for item in text.split(",") if item.strip()]
    if isinstance(default, bool):
        return _BOOLS.get(text.strip().lower(), text)
    if isinstance(default, int) or default == "auto":
        try:
            return int(text)
        except ValueError:
            return text
    return text


def _convert(key: str, raw: Any) -> Any:
    """Raises ValueError or msgspec.ValidationError."""
    field = FIELDS[key]
    if isinstance(raw, str) and raw != field.default:
        parser: Callable[[str], Any] | None = (
            units.seconds if isinstance(field.default, float) else units.size if key in BYTES else None
        )
        raw = parser(raw) if parser else raw
    return msgspec.convert(raw, field.type)


def _explain(layer: Origin, error: Exception) -> str:
    if layer.key in SECRET:  # perhaps the key itself was put there: do not repeat it
        return 'must be a list of "sha256:<64 hex digits>" as printed by `mongarsd --new-key`'
    message = str(error).replace("`", "")
    if message.startswith("Invalid enum value"):
        message = f"expected {_choices(FIELDS[layer.key].type)}"
    return f"{message[:1].lower()}{message[1:]}, not {layer.raw!r}"


def _choices(kind: Any) -> str:
    """'"debug", "info", …', or '"auto" or an integer'."""
    if typing.get_origin(kind) is Literal:
        return ", ".join(f'"{choice}"' for choice in typing.get_args(kind))
    return '"auto" or an integer'


def _check(settings: Settings, origins: Mapping[str, str]) -> list[str]:
    """What a type cannot tell."""
    errors: list[str] = []
    where = origins.get("server.listen", "default")
    for text in settings.server.listen:
        try:
            parse(text)
        except ValueError as error:
            errors.append(f"{where}: server.listen: {error}")
    for key, form, wanted in _FORMS:
        given: tuple[str, ...] = getattr(settings.server, key)
        where = origins.get(f"server.{key}", "default")
        errors += [
            f"{where}: server.{key}: expected {wanted}, not {text!r}" for text in given if not form.fullmatch(text)
        ]
    where = origins.get("server.trusted_proxies", "default")
    for text in settings.server.trusted_proxies:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            errors.append(f"{where}: server.trusted_proxies: expected an IP address or network, not {text!r}")
    return errors


def _suggest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""

from __future__ import annotations

import re
from importlib import resources

from mongarsd.daemon.config import FIELDS, load
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

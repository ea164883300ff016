from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mongarsd.daemon.cli import BAD_SETTINGS
from mongarsd.ground.settings import ServerSettings

UNIT = Path(__file__).parents[2] / "systemd" / "mongarsd.service"


@pytest.fixture
def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text(encoding="utf-8"))
    return parser["Service"]


def test_agrees_with_the_daemon(service: configparser.SectionProxy) -> None:
    assert service["Type"] == "notify"
    assert service["StateDirectory"] == service["RuntimeDirectory"] == service["User"] == "mongarsd"
    assert service["RestartPreventExitStatus"] == str(BAD_SETTINGS)
    assert float(service["TimeoutStopSec"]) > ServerSettings().drain + 5
    assert int(service["LimitNOFILE"]) > 4 * ServerSettings().max_connections


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_understands_it(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8").replace("/usr/bin/mongarsd", sys.executable)
    unit.write_text(text.replace("User=mongarsd", "User=root").replace("Group=mongarsd", "Group=root"))
    unit.chmod(0o644)  # whatever the umask is here
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

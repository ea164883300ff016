from __future__ import annotations

import subprocess
from pathlib import Path

MAKEFILE = Path(__file__).parents[1] / "Makefile"


def test_clean_keeps_what_people_said(tmp_path: Path) -> None:
    said = tmp_path / ".cache" / "state" / "mongars.db"
    gone = [tmp_path / folder for folder in (".venv", ".cache/llama", "dist")]
    for folder in (said.parent, *gone):
        folder.mkdir(parents=True)
    said.write_text("chats")
    for _ in range(2):
        subprocess.run(["make", "-f", MAKEFILE, "clean"], cwd=tmp_path, check=True, capture_output=True)
        assert said.read_text() == "chats"
        assert not any(folder.exists() for folder in gone)
    said.unlink()
    said.parent.rmdir()
    said.parent.parent.rmdir()
    subprocess.run(["make", "-f", MAKEFILE, "clean"], cwd=tmp_path, check=True, capture_output=True)

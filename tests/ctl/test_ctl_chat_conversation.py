from __future__ import annotations

import json
from pathlib import Path

import pytest

from mongarsd.ctl.chat.conversation import Conversation, Leave, Turn
from mongarsd.ctl.exits import Failure


def test_the_system_prompt_comes_first_and_survives_clear() -> None:
    talk = Conversation()
    talk.turns.append(Turn("user", "hi"))
    assert talk.messages() == [Turn("user", "hi")]
    assert "no system prompt" in talk.command("/system")
    talk.command("/system Be brief.")
    assert talk.command("/system") == "Be brief."
    assert talk.messages()[0] == Turn("system", "Be brief.")
    talk.command("/clear")
    assert talk.messages() == [Turn("system", "Be brief.")]


def test_help_names_every_command() -> None:
    text = Conversation().command("/help")
    for name in ("/clear", "/system", "/save", "/load", "/exit"):
        assert name in text


def test_exit_leaves() -> None:
    for line in ("/exit", "/quit"):
        with pytest.raises(Leave):
            Conversation().command(line)


def test_saved_and_loaded_privately(tmp_path: Path) -> None:
    talk = Conversation("S")
    talk.turns += [Turn("user", "a"), Turn("assistant", "b")]
    path = tmp_path / "talk.json"
    assert "2 turns" in talk.command(f"/save {path}")
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())[0] == {"role": "system", "content": "S"}
    other = Conversation("old")
    other.command(f"/load {path}")
    assert other.messages() == talk.messages()


@pytest.mark.parametrize("line", ["/nix", "/", "/save", "/load", "/load /none/there", "/save /none/there"])
def test_what_cannot_be_done(line: str) -> None:
    with pytest.raises(Failure):
        Conversation().command(line)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"role":"root","content":""}]'])
def test_a_file_without_a_conversation_changes_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    talk = Conversation("S")
    talk.turns.append(Turn("user", "a"))
    with pytest.raises(Failure, match="no conversation"):
        talk.command(f"/load {path}")
    assert len(talk.messages()) == 2

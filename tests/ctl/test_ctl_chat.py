from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.control_daemon import FakeDaemon, says, sse

from mongarsd.client.calls.chats import Said
from mongarsd.ctl.chat.answer import Printer

Run = Callable[..., tuple[int, str, str]]
CHAT = "POST /v1/chat/completions"
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_only_the_answer(daemon: FakeDaemon, run: Run) -> None:
    daemon.answers[CHAT] = lambda _: sse(
        {"reasoning_content": "hm"}, {"role": "assistant", "content": "Hel"}, {"content": "lo"}
    )
    assert run("chat", stdin="hi\n") == (0, "Hello\n", "")
    assert daemon.requests[-1].body == {"messages": [{"role": "user", "content": "hi"}], **STREAMED}


def test_question_options_and_a_text(daemon: FakeDaemon, run: Run) -> None:
    daemon.answers[CHAT] = says("x\n")
    arguments = ("-m", "qwen", "-s", "S", "-t", "0", "--top-p", "0.9", "--max-tokens", "5", "--seed", "7")
    assert run("chat", *arguments, "what", "is", "it?", stdin="a text\n") == (0, "x\n", "")
    assert daemon.requests[-1].body == {
        "model": "qwen",
        "temperature": 0,
        "top_p": 0.9,
        "max_tokens": 5,
        "seed": 7,
        "messages": [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "what is it?\n\na text"},
        ],
        **STREAMED,
    }


def test_nothing_to_ask(daemon: FakeDaemon, run: Run) -> None:
    code, out, err = run("chat", stdin="  \n")
    assert (code, out) == (2, "")
    assert "no question" in err


def test_a_cut_answer_is_noted_aside(daemon: FakeDaemon, run: Run) -> None:
    daemon.answers[CHAT] = says("x", finish="length")
    code, out, err = run("chat", "q")
    assert (code, out) == (0, "x\n")
    assert "cut" in err


def test_an_answer_that_breaks_off(daemon: FakeDaemon, run: Run) -> None:
    daemon.answers[CHAT] = says("half", finish=None, done=False)
    code, out, err = run("chat", "q")
    assert (code, out) == (3, "half\n")
    assert "broke" in err


def test_an_error_in_the_stream(daemon: FakeDaemon, run: Run) -> None:
    daemon.answers[CHAT] = lambda _: iter(
        [b'data: {"error": {"message": "crashed\\u001b", "code": "worker_crashed"}}\n\n']
    )
    assert run("chat", "q") == (1, "", "mongarsctl: crashed\n")


def test_garbage_in_the_stream(daemon: FakeDaemon, run: Run) -> None:
    daemon.answers[CHAT] = lambda _: iter([b"data: {[}\n\n"])
    assert run("chat", "q")[0] == 1


def test_a_full_queue(daemon: FakeDaemon, run: Run) -> None:
    daemon.answers[CHAT] = (503, {"error": {"message": "the queue is full", "code": "busy"}})
    assert run("chat", "q") == (6, "", "mongarsctl: the queue is full\n")


def test_no_daemon(run: Run, tmp_path: Path) -> None:
    code, out, err = run("chat", "q")
    assert (code, out) == (3, "")
    assert str(tmp_path / "control.sock") in err


@pytest.mark.parametrize("arguments", [("-t", "11"), ("--top-p", "2"), ("--max-tokens", "0"), ("--seed", "-1")])
def test_wrong_numbers_are_usage_errors(run: Run, arguments: tuple[str, str]) -> None:
    assert run("chat", *arguments, "q")[0] == 2


def test_reasoning_is_dim_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    printer = Printer(screen)
    for piece in (Said(reasoning_content="h"), Said(reasoning_content="m"), Said(content="\x1b]0;x\x07yes")):
        printer.write(piece)
    printer.end()
    assert screen.getvalue() == "\x1b[2mhm\x1b[0m\n]0;xyes\n"


def test_reasoning_is_named_where_there_is_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Screen()
    printer = Printer(screen)
    printer.write(Said(reasoning_content="hm"))
    printer.write(Said(content="yes\n"))
    printer.end()
    assert screen.getvalue() == "Thinking: hm\nAnswer: yes\n"


def test_reasoning_alone_ends_in_the_ordinary_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    printer = Printer(screen)
    printer.write(Said(reasoning_content="hm"))
    printer.end()
    assert screen.getvalue() == "\x1b[2mhm\x1b[0m\n"


def test_a_pipe_gets_the_very_bytes(daemon: FakeDaemon) -> None:
    pipe = io.StringIO()
    Printer(pipe).write(Said(content="\x1b[1m\r\n"))
    assert pipe.getvalue() == "\x1b[1m\r\n"

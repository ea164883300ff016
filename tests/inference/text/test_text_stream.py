"""TextStream against a reference that sees the whole text at once."""

from __future__ import annotations

import codecs
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mongarsd.ground.job import TokenLogprob
from mongarsd.inference.text.reasoning import Phase, split
from mongarsd.inference.text.stops import Stops
from mongarsd.inference.text.stream import Released, TextStream

Total = tuple[tuple[int, ...], str, str, str | None]  # tokens, text, reasoning, stop


def lp(token: int, piece: bytes) -> TokenLogprob:
    return TokenLogprob(token, piece, -float(token))


def total(releases: list[Released]) -> Total:
    for one in releases:
        assert tuple(logprob.token for logprob in one.logprobs) == one.tokens
        assert one.stop is None or one is releases[-1]
    return (
        tuple(token for one in releases for token in one.tokens),
        "".join(one.text for one in releases),
        "".join(one.reasoning for one in releases),
        releases[-1].stop if releases else None,
    )


def run(stream: TextStream, pieces: list[bytes], first: int = 0) -> list[Released]:
    """Push the pieces (token n is piece n), finish; stop when a stop string matched."""
    releases = []
    for token in range(first, len(pieces)):
        if released := stream.push(token, pieces[token], lp(token, pieces[token])):
            releases.append(released)
            if released.stop is not None:
                return releases
    if released := stream.finish():
        releases.append(released)
    return releases


def reference(pieces: list[bytes], stops: list[str], phase: Phase) -> Total:
    """Decode all, separate, cut: no state, no increments."""
    raw = b"".join(pieces)
    text = raw.decode("utf-8", "replace")
    thought, answer, begin, answer_begin = "", "", 0, len(text)
    for part in split(phase, text, final=True):
        if part.shown and part.phase is Phase.THOUGHT:
            thought += text[begin : part.end]
        elif part.shown:
            answer, answer_begin = text[begin : part.end], begin
        begin = part.end
    match = Stops(stops).find(answer)
    if match is None:
        return tuple(range(len(pieces))), answer, thought, None
    cut = answer_begin + match.start
    tokens = []
    for token in range(len(pieces)):
        before, after = b"".join(pieces[:token]), b"".join(pieces[: token + 1])
        if len(complete(before)) < cut or (is_whole(after) and len(complete(after)) <= cut):
            tokens.append(token)
    return tuple(tokens), answer[: match.start], thought, match.stop


def complete(data: bytes) -> str:
    """The characters of `data` but for one that could still be completed."""
    return codecs.getincrementaldecoder("utf-8")("replace").decode(data)


def is_whole(data: bytes) -> bool:
    return complete(data) == data.decode("utf-8", "replace")


BITS = ["<", "think>", "</think>", "<think>", "</", "\n", " ", "a", "b", "STOP", "ST", "OP", "é", "中", "😀", "�", "|"]


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[bytes], list[str], str]:
    bits = draw(st.lists(st.sampled_from(BITS), max_size=14))
    data = "".join(bits).encode()
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(min_size=1, max_size=2)) + data[at:]
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=16)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    stops = draw(st.lists(st.lists(st.sampled_from(BITS), min_size=1, max_size=2).map("".join), max_size=3))
    return pieces, stops, draw(st.sampled_from(["plain", "thinks", "thinking"]))


PHASES = {"plain": Phase.ANSWER, "thinks": Phase.LEAD, "thinking": Phase.THOUGHT_START}


def fresh(stops: list[str], mode: str) -> TextStream:
    return TextStream(stops, mode != "plain", mode == "thinking")


@given(runs())
@example(([b"a<", b"|b", b"STOP"], ["<|x", "STOP"], "plain"))
@example(([b"\xe4\xb8", b"\xadSTOP"], ["STOP"], "plain"))
@example(([b"a", b"\xe4\xb8"], [], "plain"))  # cut inside a character
@example(([b"a<"], ["<|x"], "plain"))
@example(([b"<th", b"ink>STOP", b"</think>", b"\n", b"xSTOP"], ["STOP"], "thinks"))
def test_equals_the_reference_whole_and_resumed_anywhere(case: tuple[list[bytes], list[str], str]) -> None:
    pieces, stops, mode = case
    releases = run(fresh(stops, mode), pieces)
    expected = reference(pieces, stops, PHASES[mode])
    assert total(releases) == expected
    for boundary in range(1, len(releases)):
        before = releases[:boundary]
        produced = total(before)[0]
        resumed = fresh(stops, mode)
        resumed.replay(produced, [pieces[token] for token in produced])
        assert resumed.stop is None
        after = run(resumed, pieces, first=len(produced))
        assert after == releases[boundary:]  # the very same events, so it can be resumed again
    if releases and releases[-1].stop is None:  # all of it was delivered, but that it has ended
        resumed = fresh(stops, mode)
        text = resumed.replay(expected[0], pieces)
        assert text == expected[1]
        assert run(resumed, pieces, first=len(pieces)) == []


@given(runs())
def test_nothing_is_held_without_a_reason(case: tuple[list[bytes], list[str], str]) -> None:
    pieces, stops, mode = case
    if mode != "plain":
        return
    stream, stop_set, released = fresh(stops, mode), Stops(stops), 0
    for token, piece in enumerate(pieces):
        if out := stream.push(token, piece, None):
            released += len(out.tokens)
            if out.stop is not None:
                return
        # Every held token overlaps what may become a stop string, or follows one that ends inside a character.
        text = complete(b"".join(pieces[: token + 1]))
        safe = len(text) - stop_set.hold(text)
        for count in range(released + 1, token + 2):
            data = b"".join(pieces[:count])
            assert not (is_whole(data) and len(complete(data)) <= safe)


def push_all(stream: TextStream, pieces: list[bytes]) -> list[Released | None]:
    return [stream.push(token, piece, None) for token, piece in enumerate(pieces)]


def test_a_token_waits_until_its_last_character_is_complete() -> None:
    stream = TextStream((), False, False)
    assert push_all(stream, [b"a\xf0\x9f", b"\x98", b"\x80"]) == [None, None, Released((0, 1, 2), "a😀")]


def test_a_stop_string_over_three_tokens() -> None:
    stream = TextStream(("<|end|>",), False, False)
    assert push_all(stream, [b"Hi <", b"|end", b"|> more", b"x"]) == [
        None,
        None,
        Released((0,), "Hi ", stop="<|end|>"),  # only the first token begins before the match
        None,
    ]
    assert stream.stop == "<|end|>"
    assert stream.finish() is None


def test_a_token_is_not_held_for_what_a_later_one_began() -> None:
    stream = TextStream(("\n\n",), False, False)
    assert push_all(stream, [b"a\n", b"b\n", b"c\n"]) == [None, Released((0,), "a\n"), Released((1,), "b\n")]


def test_stop_strings_do_not_look_at_the_reasoning() -> None:
    stream = TextStream(("stop",), True, False)
    releases = [one for one in push_all(stream, [b"<think>", b"stop", b"</think>", b"\n\n", b"go stop"]) if one]
    assert [(one.text, one.reasoning, one.stop) for one in releases] == [
        ("", "", None),
        ("", "stop", None),
        ("", "", None),
        ("", "", None),
        ("go ", "", "stop"),
    ]


def test_a_stop_string_may_match_at_the_end() -> None:
    stream = TextStream(("\n",), True, False)
    assert push_all(stream, [b"\n"]) == [None]  # <think> could follow
    assert stream.finish() == Released((), stop="\n")


def test_control_tokens_have_no_text() -> None:
    assert push_all(TextStream((), True, False), [b"", b"Hi"]) == [Released((0,)), Released((1,), "Hi")]


def test_finish_gives_what_was_held_and_nothing_twice() -> None:
    stream = TextStream(("STOP",), False, False)
    assert push_all(stream, [b"a", b" ST", b"\xe4"]) == [Released((0,), "a"), None, None]
    assert stream.finish() == Released((1, 2), " ST�")
    assert stream.finish() is None


def test_replay_shows_nothing_and_notices_a_match() -> None:
    stream = TextStream(("STOP",), False, False)
    stream.replay((1, 2), (b"a ST", b"OP"))
    assert stream.stop == "STOP"
    with pytest.raises(ValueError, match="zip"):
        stream.replay((1,), ())


def test_an_ordinary_token_costs_microseconds() -> None:
    stream, stop = TextStream(("<|im_end|>", "\n\nUser:"), True, True), 20_000
    best = float("inf")
    for _ in range(3):
        begin = time.thread_time()
        for token in range(stop):
            stream.push(token, b" word", None)
        best = min(best, (time.thread_time() - begin) / stop)
    assert best < 20e-6

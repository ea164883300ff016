from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from mongarsd.memory.conversations.types import Details, Role, Turn
from mongarsd.memory.summaries import plan

TURNS = st.lists(st.tuples(st.integers(1, 400), st.booleans()), max_size=40)


def turn(content: str, role: Role = "user", tokens: int = 0) -> Turn:
    details = Details(completion_tokens=tokens)
    return Turn(number=1, conversation="conv_1", created=0.0, role=role, content=content, details=details)


@given(TURNS, st.integers(256, 8192))
def test_a_summary_ends_before_a_question_and_is_bounded(turns: list[tuple[int, bool]], context: int) -> None:
    tokens, questions = [size for size, _ in turns], [question for _, question in turns]
    many = plan.summarised(tokens, questions, context)
    assert many == 0 or questions[many]
    if sum(tokens) <= context * plan.HIGH:
        assert many == 0
    if many and sum(tokens[:many]) > context * plan.BITE:
        assert not any(questions[1:many])  # one question with what followed it is too long by itself
    assert (many > 0) == (sum(tokens) > context * plan.HIGH and any(questions[1:]))


@given(TURNS, st.integers(1024, 8192))
def test_again_and_again_it_comes_to_rest_with_the_latest_turns(turns: list[tuple[int, bool]], context: int) -> None:
    tokens, questions = [size for size, _ in turns], [question for _, question in turns]
    steps = 0
    while many := plan.summarised(tokens, questions, context):
        tokens, questions, steps = tokens[many:], questions[many:], steps + 1
    assert steps <= len(turns)
    assert sum(tokens) <= context * plan.HIGH or not any(questions[1:])


@given(st.integers(1024, 8192), st.lists(st.integers(1, 40), min_size=1, max_size=80))
def test_it_does_not_change_with_every_turn(context: int, sizes: list[int]) -> None:
    """After a summary that was made in time, a quarter of the context is said before the next one."""
    assume(sum(sizes) < context * (plan.HIGH - plan.LOW))
    rest = [40] * (int(context * plan.HIGH) // 40 + 1)
    many = plan.summarised(rest, [True] * len(rest), context)
    left = rest[many:]
    assert sum(left) <= context * plan.LOW
    assert plan.summarised([*left, *sizes], [True] * (len(left) + len(sizes)), context) == 0


def test_characters_of_a_token_are_what_the_models_counted() -> None:
    assert plan.characters([turn("x" * 100)]) == plan.USUAL
    assert plan.characters([turn("x" * 100), turn("x" * 80, "assistant", 20)]) == 4.0
    assert plan.characters([turn("", "assistant", 20)]) == plan.FEWEST


@given(st.text(max_size=50), st.lists(st.text(max_size=300), max_size=10), st.integers(1, 1000))
def test_what_the_model_reads_is_bounded(before: str, contents: list[str], most: int) -> None:
    text = plan.text(before, [turn(content) for content in contents], most)
    assert len(text) <= len(before) + len("Earlier: \n") + most + len(contents) * len("User: x … \n")


def test_the_model_reads_who_said_what_and_no_instructions() -> None:
    turns = [turn("Be kind.", "system"), turn("Hi"), turn("Hello", "assistant"), turn("", "assistant")]
    assert plan.text("They met.", turns, 100) == "Earlier: They met.\nUser: Hi\nAssistant: Hello"
    assert plan.text("", [turn("0123456789")], 4) == "User: 01 … 89"
    assert plan.text("", [turn("Be kind.", "system")], 100) == ""

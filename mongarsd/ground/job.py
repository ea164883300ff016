"""Job and Event: what is to be generated, and what has happened. The same bytes on pipe, mesh and in tests."""

from __future__ import annotations

import enum
from typing import Annotated, Any

from msgspec import Meta, Struct, structs

from mongarsd.ground.errors import ErrorInfo
from mongarsd.ground.sampling import Sampling

MAX_STOPS = 16
MAX_TOP_LOGPROBS = 20


class Priority(enum.StrEnum):
    INTERACTIVE = "interactive"  # somebody is waiting
    BATCH = "batch"  # runs when nobody is


class Message(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One turn of a conversation, as a chat template sees it."""

    role: str
    content: str = ""
    name: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[dict[str, Any], ...] = ()
    tool_call_id: str | None = None


class ToolChoice(enum.StrEnum):
    AUTO = "auto"  # the model decides
    NONE = "none"  # it sees the tools, and must not call any
    REQUIRED = "required"  # it must call at least one


class Rerank(Struct, frozen=True):
    """How well does each document answer the query?"""

    query: str
    documents: tuple[str, ...]


class Job(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One sequence to generate. Exactly one of `messages`, `text` and `tokens` is the prompt.

    Or texts to turn into vectors: then `embed` holds them, and nothing is generated. Or `rerank`: texts to score.
    Or `count`: how many tokens the prompt has, which Finished says, alone and at once.

    `produced` holds the tokens already delivered to the client: whoever runs the job goes on after the last of them.
    """

    id: str  # random, 32 hex digits
    model: str  # digest of the weights, "sha256:<64 hex>"
    adapter: str = ""  # digest of a LoRA adapter of that model; "" = none
    messages: tuple[Message, ...] | None = None
    text: str | None = None
    suffix: str | None = None  # with `text`: what comes after the gap behind it, which the model is to fill
    tokens: tuple[int, ...] | None = None
    embed: tuple[str, ...] | None = None
    whole: bool = False  # of `embed`: refuse what is longer than the model reads, in place of cutting its end off
    rerank: Rerank | None = None
    count: bool = False
    tools: tuple[dict[str, Any], ...] = ()  # OpenAI's form, checked
    tool_choice: ToolChoice = ToolChoice.AUTO
    tool_name: str | None = None  # with REQUIRED: this one
    parallel_tool_calls: bool = True
    grammar: str | None = None  # GBNF, checked; binds the answer, not the reasoning before it
    template_args: dict[str, Any] = {}  # extra names for the chat template, e.g. {"enable_thinking": false}
    sampling: Sampling = Sampling()
    seeded: bool = False  # somebody chose the seed, so the same job may come again
    max_tokens: int | None = None  # counts `produced` too; None = what the context leaves
    stop: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...], Meta(max_length=MAX_STOPS)] = ()
    logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None  # None = off; N = N alternatives a token
    cache_prompt: bool = True
    priority: Priority = Priority.INTERACTIVE
    account: str = ""
    deadline: float | None = None  # seconds this job may still take, from when it is handed over
    produced: tuple[int, ...] = ()

    def resume(self, produced: tuple[int, ...]) -> Job:
        """The same job, to be carried on after `produced` (all tokens delivered since the very start)."""
        return structs.replace(self, produced=produced)


class TokenLogprob(Struct, frozen=True, array_like=True):
    """A token's log-probability before sampling, natural logarithm, and its best alternatives, best first. Stored with
    answers too, so new fields come last and have defaults."""

    token: int
    piece: bytes  # may be part of a UTF-8 character
    logprob: float
    top: tuple[tuple[int, bytes, float], ...] = ()  # (token, piece, logprob)


class Timings(Struct, frozen=True, omit_defaults=True):
    """Seconds, by the monotonic clock of the node that ran the job."""

    queue: float = 0.0
    prefill: float = 0.0  # admission to first token
    decode: float = 0.0  # first token to last
    restarts: int = 0  # how often the job was moved after a crash
    drafted: int = 0  # tokens guessed ahead, and how many of them were right
    accepted: int = 0


class Usage(Struct, frozen=True, omit_defaults=True):
    """Tokens."""

    prompt: int
    completion: int
    cached: int = 0  # of the prompt, taken from the prefix cache


class FinishReason(enum.StrEnum):
    STOP = "stop"  # end of generation, or a stop string
    LENGTH = "length"  # max_tokens, or the context is full
    CANCELLED = "cancelled"  # the client went away
    DEADLINE = "deadline"  # the job's time was up


class Started(Struct, frozen=True, omit_defaults=True, tag="started"):
    """The job left the queue. Sent again, with `restarted`, when it is carried on after a crash."""

    job: str
    node: str
    queue: float  # seconds waited
    prompt: int  # tokens
    cached: int = 0  # tokens
    restarted: bool = False


class ToolCall(Struct, frozen=True, omit_defaults=True):
    """A call, or the beginning of one; without a name, more arguments of the call `index`."""

    index: int  # counts the calls of an answer
    id: str = ""
    name: str = ""
    arguments: str = ""  # JSON text of an object, all pieces together


class Delta(Struct, frozen=True, omit_defaults=True, tag="delta"):
    """New tokens and exactly their text (the last one of a job may be cut by a stop string).

    The text of a tool call comes as a call: once it is certain that it is one, its arguments as they are written, and
    otherwise with the tokens that complete it; till then its tokens come without text.
    """

    job: str
    tokens: tuple[int, ...]
    text: str = ""
    reasoning: str = ""  # text inside <think>…</think>
    logprobs: tuple[TokenLogprob, ...] = ()
    calls: tuple[ToolCall, ...] = ()


class Embedded(Struct, frozen=True, omit_defaults=True, tag="embedded"):
    """The vectors of all texts of a job, in their order."""

    job: str
    vectors: bytes  # little-endian float32, `dimensions` of them for each text, of length 1
    dimensions: int


class Ranked(Struct, frozen=True, omit_defaults=True, tag="ranked"):
    """The scores of all documents of a job, in their order."""

    job: str
    scores: tuple[float, ...]  # 0 to 1


class Finished(Struct, frozen=True, omit_defaults=True, tag="finished"):
    job: str
    reason: FinishReason
    usage: Usage
    timings: Timings = Timings()
    stop: str | None = None  # the stop string that matched


class Failed(Struct, frozen=True, omit_defaults=True, tag="failed"):
    job: str
    error: ErrorInfo


Event = Started | Delta | Embedded | Ranked | Finished | Failed

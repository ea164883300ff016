"""One job in the engine: its tokens, and how many of them are in the KV cache."""

from __future__ import annotations

from dataclasses import dataclass, field

from mongarsd.ground.job import Job
from mongarsd.inference.engine.base import FREE, Form


@dataclass(eq=False)
class Sequence:
    """`tokens` is the prompt, then what was produced before a restart, then what is generated here.

    A step computes `tokens[computed:]` or a part of it; when it reaches the end, the next token is sampled.
    """

    job: Job
    tokens: list[int]
    prompt: int  # how many of `tokens` are the prompt
    limit: int  # how many `tokens` there may ever be
    arrived: float
    thinking: bool = False  # the prompt ends inside <think>
    form: Form = FREE
    slot: int = -1  # -1 = waiting
    computed: int = 0
    cached: int = 0
    stored: int = 0  # tokens of its beginning that a tier behind the KV cells has at hand
    fetching: bool = False  # they are being read: it is not its turn yet
    admitted: float = 0.0
    turn: int = 0  # when its prompt was last given a row, in rows
    first_token: float | None = None  # when it was sampled
    drafted: int = 0  # tokens, and how many of them were right
    accepted: int = 0
    marks: set[int] = field(default_factory=set)  # lengths at which its state is saved: no row runs over one
    single: bool = (
        False  # model or adapter give other bits for several tokens at once: one by one, as they were decoded
    )
    yielded: bool = False  # it gave its slot to somebody else; what it has said is in `tokens` and computed again

    @property
    def id(self) -> str:
        return self.job.id

    @property
    def running(self) -> bool:
        return self.slot >= 0

    @property
    def pending(self) -> int:
        """Tokens that are not in the KV cache yet; 1 while decoding."""
        return len(self.tokens) - self.computed

    @property
    def decoding(self) -> bool:
        """Past its prompt, with everything but the last token in the cache."""
        return self.first_token is not None and not self.yielded

    @property
    def completion(self) -> int:
        return len(self.tokens) - self.prompt

    @property
    def full(self) -> bool:
        return len(self.tokens) >= self.limit

    @property
    def expires(self) -> float:
        return float("inf") if self.job.deadline is None else self.arrived + self.job.deadline

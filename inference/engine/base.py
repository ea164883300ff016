"""Backend: what the engine needs of a native library. One implementation a package (`mongarsd.inference.llama`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from mongarsd.ground.job import Job, TokenLogprob
from mongarsd.inference.worker.protocol import ModelInfo


class Row(NamedTuple):
    """Consecutive tokens of one sequence in one step. `wants_logits`: the last token's output will be sampled."""

    sequence: int  # KV sequence id, 0 … slots-1
    start: int  # position of the first token
    tokens: Sequence[int]
    wants_logits: bool


class Prompt(NamedTuple):
    tokens: list[int]
    thinking: bool = False  # the prompt ends inside <think>: what comes first is reasoning


class Sampled(NamedTuple):
    token: int
    logprob: TokenLogprob | None  # when the job asked for them


class Sampler(Protocol):
    """A job's sampler chain with its own state (penalties, RNG, later a grammar)."""

    def accept(self, tokens: Sequence[int]) -> None:
        """Feed tokens that were not sampled here: a prompt's tail, or `produced` of a resumed job."""
        ...

    def sample(self, row: int) -> Sampled:
        """Choose and accept the next token from row number `row` of the last decode (it had `wants_logits`)."""
        ...

    def close(self) -> None:
        """Free native memory. Idempotent."""
        ...


class NoRoom(Exception):
    """The step does not fit into the KV cache; nothing was changed."""


class Backend(Protocol):
    """Called from the engine's one thread only, but for `prompt`, which another may call while a step runs."""

    info: ModelInfo

    def prompt(self, job: Job) -> Prompt:
        """The job's prompt as tokens: template applied, special tokens placed. Raises BadRequest."""
        ...

    def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        """Each token's bytes; control tokens give b"", tags such as <think> stay visible."""
        ...

    def is_end(self, token: int) -> bool:
        """End of generation?"""
        ...

    def sampler(self, job: Job, prompt: Sequence[int]) -> Sampler:
        """A chain for the job. It has accepted the prompt's tail and `job.produced`. Raises BadRequest."""
        ...

    def decode(self, rows: Sequence[Row]) -> None:
        """Compute one step; afterwards samplers may be asked. Raises NoRoom."""
        ...

    def trim(self, sequence: int, length: int) -> bool:
        """Keep only the first `length` positions of a sequence; False if this model cannot (then clear it)."""
        ...

    def copy(self, source: int, target: int) -> None:
        """Make `target` (cleared before) hold the same cells as the whole of `source`."""
        ...

    def set_threads(self, decode: int, prefill: int) -> None: ...

    def close(self) -> None:
        """Free everything. Idempotent."""
        ...

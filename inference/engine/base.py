"""Backend: what the engine needs of a native library. One implementation a package (`mongarsd.inference.llama`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

from mongarsd.ground.job import Job, TokenLogprob
from mongarsd.inference.grammar.constraint import Constraint
from mongarsd.inference.text.tools.base import Parser
from mongarsd.inference.worker.protocol import ModelInfo

#: Tokens of a block of the prefix cache: a tile of `portions`, so a stored block is what computing it again would give.
BLOCK = 64


class Row(NamedTuple):
    """Consecutive tokens of one sequence in one step. Its last `outputs` tokens' outputs may be sampled."""

    sequence: int  # KV sequence id, 0 … slots-1
    start: int  # position of the first token
    tokens: Sequence[int]
    outputs: int  # 0 for a part of a prompt, 1 where the next token is wanted, more for a draft
    adapter: str = ""  # digest of the LoRA adapter it is computed with; all rows of a decode have the same


class Form(NamedTuple):
    """What an answer must look like, and how its tool calls are read."""

    constraint: Constraint | None = None
    parser: Callable[[], Parser] | None = None
    marks: Mapping[int, bytes] = MappingProxyType({})  # control tokens that count as text: they belong to tool calls


FREE = Form()


class Prompt(NamedTuple):
    tokens: list[int]
    thinking: bool = False  # the prompt ends inside <think>: what comes first is reasoning
    form: Form = FREE


class Sampled(NamedTuple):
    token: int
    logprob: TokenLogprob | None  # when the job asked for them


class Sampler(Protocol):
    """A job's sampler chain with its own state (penalties, RNG, a grammar)."""

    def sample(self, row: int, output: int = 0) -> Sampled:
        """Choose and accept the next token from output number `output` of row number `row` of the last decode.

        Raises BadRequest when the job's grammar turns out to be one that cannot be followed.
        """
        ...

    def close(self) -> None:
        """Free native memory. Idempotent."""
        ...


class NoRoom(Exception):
    """The step does not fit into the KV cache; nothing was changed."""


class Backend(Protocol):
    """Called from the engine's one thread only, but for `prompt`, which another may call while a step runs."""

    info: ModelInfo
    #: Identifies the form of what `export` and `checkpoint` give; "" = nothing.
    layout: str
    #: Blocks alone are no beginning of a sequence: it takes a checkpoint too (recurrent, hybrid, sliding window).
    checkpoints: bool
    #: Has a sequence blocks at all? A purely recurrent model's has nothing but its state.
    blocks: bool

    def prompt(self, job: Job) -> Prompt:
        """The job's prompt as tokens: template applied, special tokens placed. Raises BadRequest."""
        ...

    def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        """Each token's bytes; control tokens give b"", tags such as <think> stay visible."""
        ...

    def is_end(self, token: int) -> bool:
        """End of generation?"""
        ...

    def sampler(self, job: Job, prompt: Sequence[int], constraint: Constraint | None = None) -> Sampler:
        """A chain for the job. It has accepted the prompt's tail and `job.produced`. Raises BadRequest."""
        ...

    def adapt(self, adapter: str, used: Collection[str]) -> bool:
        """Have an adapter in memory for rows to come; all but the `used` ones may go. Raises InvalidModel, Busy.

        Does a token come out with the same bits whatever number of tokens is computed with it?
        """
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

    def export(self, sequence: int, begin: int, end: int) -> list[bytes]:
        """The cells of blocks (BLOCK tokens each) number `begin` to `end` (exclusive); none if it cannot.

        The last is short when the sequence ends within it.
        """
        ...

    def checkpoint(self, sequence: int) -> bytes:
        """What of the sequence, as it ends now, is in no block; b"" if the model needs none."""
        ...

    def checkpoint_size(self, tokens: int) -> int:
        """About how many bytes that is for a sequence of so many tokens."""
        ...

    def restore(self, sequence: int, blocks: Sequence[bytes], checkpoint: bytes = b"") -> bool:
        """Replace the sequence by these blocks, from position 0 on, the last maybe short; False = it is empty now.

        It cannot be trimmed to less afterwards, but to nothing, if there was a checkpoint.
        """
        ...

    def set_threads(self, decode: int, prefill: int) -> None: ...

    def close(self) -> None:
        """Free everything. Idempotent."""
        ...

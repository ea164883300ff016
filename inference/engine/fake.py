"""A backend without a model: the next token is a function of all tokens before it. For tests, and to try the daemon.

It keeps real books of its cells, so an engine that skips, repeats or misplaces a token is caught at once.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Collection, Sequence
from urllib.parse import parse_qs

from mongarsd.ground.errors import BadRequest
from mongarsd.ground.job import Job, TokenLogprob
from mongarsd.inference.engine.base import BLOCK, Prompt, Row, Sampled
from mongarsd.inference.grammar.constraint import Constraint
from mongarsd.inference.worker.protocol import Load, ModelInfo

VOCABULARY = 257  # the bytes, and one end token
END = 256
LETTERS = b"etaoin shrdlu"
#: A cell's number is its token and, above these bits, a mark of the adapter it was computed with.
TOKEN_BITS = 9
MARKS = 127  # the rest of 16 bits
QUOTING = ord("|")  # a prompt with this in it is mostly quoted, as a model does that repeats or edits a text


def next_token(tokens: Sequence[int], seed: int = 0) -> int:
    """A letter that depends on every token before it; a full stop now and then, and the end after "!"."""
    if tokens and tokens[-1] == ord("!"):
        return END
    if QUOTING in tokens and (quoted := _quoted(tokens)) is not None:
        return quoted
    digest = zlib.crc32(b"".join(t.to_bytes(2, "little") for t in tokens), seed)
    if digest % 97 == 0:
        return ord("!")
    return LETTERS[digest % len(LETTERS)]


def mark(adapter: str) -> int:
    """Of an adapter's cells; 0 = the bare model."""
    return 1 + zlib.crc32(adapter.encode()) % MARKS if adapter else 0


def adapted(seed: int, adapter: str) -> int:
    """The seed with which an adapter's next token is made."""
    return seed + (mark(adapter) << 20)


def _quoted(tokens: Sequence[int]) -> int | None:
    """What followed the last two tokens where they stood before; now and then something else."""
    data = bytes(min(t, 255) for t in tokens)
    at = data.find(data[-2:], 0, len(data) - 1)
    return data[at + 2] if at >= 0 and zlib.crc32(data) % 8 else None


class FakeSampler:
    def __init__(self, backend: FakeBackend, job: Job, prompt: int) -> None:
        self._backend, self._job = backend, job
        self._length = prompt + len(job.produced)  # of all tokens accepted

    def sample(self, row: int, output: int = 0) -> Sampled:
        cells = self._backend.outputs[row][output]
        if {cell >> TOKEN_BITS for cell in cells} != {mark(self._job.adapter)}:
            raise RuntimeError(f"the cells of job {self._job.id} were not all computed with its adapter")
        before = [cell & (1 << TOKEN_BITS) - 1 for cell in cells]
        if len(before) != self._length:
            raise RuntimeError(f"asked for a token after {len(before)} tokens, but {self._length} were accepted")
        self._length += 1
        seed = 0 if self._job.sampling.greedy else self._job.sampling.seed
        token = next_token(before, adapted(seed, self._job.adapter))
        if self._job.sampling.ignore_eos and token == END:
            token = ord(".")
        if self._job.logprobs is None:
            return Sampled(token, None)
        piece = self._backend.pieces((token,))[0]
        top = tuple((t, self._backend.pieces((t,))[0], -0.5 - i) for i, t in enumerate(range(self._job.logprobs)))
        return Sampled(token, TokenLogprob(token, piece, -0.25, top))

    def close(self) -> None:
        pass


class FakeBackend:
    """`load.path` may carry figures as a query: `row=` and `step=` are seconds, slept in `decode`.

    `kind=` makes it one whose sequences need checkpoints: `recurrent`, `hybrid` or `window`.
    """

    layout = "fake"

    def __init__(self, load: Load) -> None:
        query = parse_qs(load.path.partition("?")[2])
        self._per_row = float(query.get("row", ["0"])[0])
        self._per_step = float(query.get("step", ["0"])[0])
        kind = query.get("kind", [""])[0]
        self.checkpoints, self.blocks = bool(kind), kind != "recurrent"
        self._cells: list[list[int]] = [[] for _ in range(load.slots)]
        self._floors = [0] * load.slots  # a restored sequence has no window before its end
        self.adapters = {""}
        self.outputs: dict[int, list[list[int]]] = {}  # row number of the last step -> all tokens up to each output
        self.info = ModelInfo(
            architecture="fake",
            parameters=VOCABULARY,
            vocabulary=VOCABULARY,
            context_train=load.context,
            context=load.context,
            slots=load.slots,
            kv_bytes_per_token=2,
            has_template=True,
            cuts=kind in ("", "window"),
            build="fake",
        )

    def prompt(self, job: Job) -> Prompt:
        if job.tokens is not None:
            if any(not 0 <= t < VOCABULARY for t in job.tokens):
                raise BadRequest(f"a token is outside the vocabulary of {VOCABULARY}", param="prompt")
            return Prompt(list(job.tokens))
        if job.text is not None:
            return Prompt(list((job.text if job.suffix is None else f"{job.text}\0{job.suffix}\0").encode()))
        lines = "".join(f"{m.role}: {m.content}\n" for m in job.messages or ())
        return Prompt(list(f"{lines}assistant: ".encode()))

    def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        return [bytes([t]) if t < END else b"" for t in tokens]

    def is_end(self, token: int) -> bool:
        return token == END

    def sampler(self, job: Job, prompt: Sequence[int], constraint: Constraint | None = None) -> FakeSampler:  # noqa: ARG002 (it knows its cells)
        if any(token >= VOCABULARY for token, _ in job.sampling.logit_bias):
            raise BadRequest("a token is outside the vocabulary", param="logit_bias")
        return FakeSampler(self, job, len(prompt))

    def adapt(self, adapter: str, used: Collection[str]) -> bool:
        """Holds those in use and one more."""
        self.adapters = {"", *used, adapter}
        return True

    def decode(self, rows: Sequence[Row]) -> None:
        self.outputs = {}
        if len({row.adapter for row in rows}) > 1 or rows[0].adapter not in self.adapters:
            raise RuntimeError("a step's rows have one adapter, and it was made ready")
        for index, row in enumerate(rows):
            cells = self._cells[row.sequence]
            if not row.tokens or row.start != len(cells) or row.start + len(row.tokens) > self.info.context:
                raise RuntimeError(f"row {row} does not continue {len(cells)} cells")
            cells.extend(token | mark(row.adapter) << TOKEN_BITS for token in row.tokens)
            self.outputs[index] = [cells[: len(cells) - i] for i in reversed(range(row.outputs))]
        time.sleep(self._per_step + self._per_row * sum(len(row.tokens) for row in rows))

    def trim(self, sequence: int, length: int) -> bool:
        if length > len(self._cells[sequence]):
            raise RuntimeError(f"sequence {sequence} has {len(self._cells[sequence])} cells, not {length}")
        if length and not self.info.cuts and length < len(self._cells[sequence]):
            return False
        if length and length < self._floors[sequence]:
            raise RuntimeError(f"sequence {sequence} cannot be cut to {length}: its window is gone")
        self._floors[sequence] = self._floors[sequence] if length else 0
        del self._cells[sequence][length:]
        return True

    def copy(self, source: int, target: int) -> None:
        if self._cells[target]:
            raise RuntimeError(f"sequence {target} was not cleared")
        self._cells[target], self._floors[target] = list(self._cells[source]), self._floors[source]

    def export(self, sequence: int, begin: int, end: int) -> list[bytes]:
        cells = self._cells[sequence]
        if (end - 1) * BLOCK >= len(cells):
            raise RuntimeError(f"sequence {sequence} has {len(cells)} cells, not {end * BLOCK}")
        return [b"".join(t.to_bytes(2, "little") for t in cells[n * BLOCK :][:BLOCK]) for n in range(begin, end)]

    def checkpoint(self, sequence: int) -> bytes:
        """A checksum of all its tokens, or the tokens themselves where there are no blocks."""
        whole = b"".join(t.to_bytes(2, "little") for t in self._cells[sequence])
        return zlib.crc32(whole).to_bytes(4, "little") if self.blocks else whole

    def checkpoint_size(self, tokens: int) -> int:
        return 4 if self.blocks else 2 * tokens

    def restore(self, sequence: int, blocks: Sequence[bytes], checkpoint: bytes = b"") -> bool:
        whole = b"".join(blocks) if self.blocks else checkpoint
        if self.checkpoints and self.blocks and zlib.crc32(whole).to_bytes(4, "little") != checkpoint:
            raise RuntimeError("the checkpoint is of other tokens")
        self._cells[sequence] = [int.from_bytes(whole[i : i + 2], "little") for i in range(0, len(whole), 2)]
        self._floors[sequence] = len(self._cells[sequence]) if self.checkpoints else 0
        return True

    def set_threads(self, decode: int, prefill: int) -> None:
        pass

    def close(self) -> None:
        self._cells = []

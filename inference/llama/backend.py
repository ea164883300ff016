"""`LlamaBackend`: the engine's Backend over llama.cpp."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Sequence

from mongarsd.ground.job import Job
from mongarsd.inference.engine.base import BLOCK, Prompt, Row
from mongarsd.inference.engine.prompts import Prompts
from mongarsd.inference.grammar.constraint import Constraint
from mongarsd.inference.llama import state
from mongarsd.inference.llama.adapters import Adapters
from mongarsd.inference.llama.alike import rows_alike
from mongarsd.inference.llama.context import Context
from mongarsd.inference.llama.library import build_id
from mongarsd.inference.llama.logprobs import Logprobs
from mongarsd.inference.llama.model import Model
from mongarsd.inference.llama.sampling import LlamaSampler, open_sampler
from mongarsd.inference.llama.tokens import Vocabulary
from mongarsd.inference.worker.protocol import Load, ModelInfo


class LlamaBackend:
    """Not thread-safe, but `prompt` and `pieces` may be called from another thread while a step is computed."""

    def __init__(self, load: Load) -> None:
        """Load the model and allocate its cells. Raises InvalidModel, DoesNotFit, StartError."""
        self._samplers: weakref.WeakSet[LlamaSampler] = weakref.WeakSet()
        self._model = Model(load.path, gpu_layers=load.gpu_layers)
        try:
            self._vocabulary = Vocabulary(self._model.vocab)
            self._prompts = Prompts(self._vocabulary, self._model.template, load.context)
            self._context = Context(
                self._model,
                slots=load.slots,
                context=load.context,
                decode_threads=load.decode_threads,
                prefill_threads=load.prefill_threads,
            )
        except BaseException:
            self._model.close()
            raise
        self._adapters = Adapters(self._model, self._context, load.adapters)
        self._logprobs = Logprobs(self._vocabulary)
        cuts = self._warm_up(load.slots)
        rows = self._layout.row if self._layout else 0
        self.info = ModelInfo(
            architecture=self._model.architecture,
            parameters=self._model.parameters,
            vocabulary=self._vocabulary.size,
            context_train=self._model.context_train,
            context=load.context,
            slots=load.slots,
            kv_bytes_per_token=self._model.kv_bytes_per_token() if cuts else rows,
            has_template=self._model.template is not None,
            thinks=self._prompts.thinks,
            cuts=cuts,
            drafts=cuts and rows_alike(self._context, self._vocabulary.size),
            build=build_id(),
        )

    def _warm_up(self, slots: int) -> bool:
        """Two tokens, so that Ready means it: the weights are in memory, and the model does compute. Can it be cut?"""
        token = max(self._vocabulary.bos, 0)
        self._context.decode([Row(0, 0, [token], 0)])
        rows, uncut = state.split(self._context.state(0), self._context.state(0, uncut=True))
        try:
            self._layout: state.Layout | None = state.parse(rows)[0]
        except state.Unsliceable:
            self._layout = None
        self.blocks, self.checkpoints = self._layout is not None, bool(uncut)
        self._context.decode([Row(0, 1, [token], 0)])
        longer = state.split(self._context.state(0), self._context.state(0, uncut=True))[1]
        self._state = (len(uncut), len(longer) - len(uncut))  # bytes of the first token, and of each more
        slots = slots if self._state[1] else 0  # the state of a window's cells lists all sequences
        self.layout = state.form(self._layout, self.checkpoints, slots)
        cuts = self._context.trim(0, 1)
        self._context.trim(0, 0)
        return cuts

    def prompt(self, job: Job) -> Prompt:
        return self._prompts.prompt(job)

    def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        piece = self._vocabulary.piece
        return [piece(token) for token in tokens]

    def is_end(self, token: int) -> bool:
        return token in self._vocabulary.ends

    def sampler(self, job: Job, prompt: Sequence[int], constraint: Constraint | None = None) -> LlamaSampler:
        sampler = open_sampler(job, prompt, self._context, self._vocabulary, self._logprobs, constraint)
        self._samplers.add(sampler)
        return sampler

    def adapt(self, adapter: str, used: Collection[str]) -> bool:
        return self._adapters.adapt(adapter, used)

    def decode(self, rows: Sequence[Row]) -> None:
        if rows:
            self._adapters.use(rows[0].adapter)
        self._context.decode(rows)

    def trim(self, sequence: int, length: int) -> bool:
        return self._context.trim(sequence, length)

    def copy(self, source: int, target: int) -> None:
        self._context.copy(source, target)

    def export(self, sequence: int, begin: int, end: int) -> list[bytes]:
        whole = self._context.state(sequence)
        if self.checkpoints:
            whole = state.split(whole, self._context.state(sequence, uncut=True))[0]
        try:
            return state.cut(whole, BLOCK, begin, end)
        except state.Unsliceable:
            return []

    def checkpoint(self, sequence: int) -> bytes:
        """Without blocks it is all there is: of a model that the library cannot tell apart, too."""
        return state.body(self._context.state(sequence, uncut=self.blocks)) if self.checkpoints else b""

    def checkpoint_size(self, tokens: int) -> int:
        first, more = self._state
        counted = min(tokens, self._model.window or tokens)
        return first + more * (counted - 1) if self.checkpoints and tokens else 0

    def restore(self, sequence: int, blocks: Sequence[bytes], checkpoint: bytes = b"") -> bool:
        try:
            whole = state.join(self._layout, blocks, BLOCK) if self._layout else state.EMPTY
        except state.Unsliceable:
            return False
        return bool(blocks or checkpoint) and self._context.put_state(sequence, whole + checkpoint)

    def set_threads(self, decode: int, prefill: int) -> None:
        self._context.set_threads(decode, prefill)

    def close(self) -> None:
        """Samplers, cells, adapters, weights: each before what it points into."""
        for sampler in list(self._samplers):
            sampler.close()
        self._logprobs.close()
        self._context.close()
        self._adapters.close()
        self._model.close()

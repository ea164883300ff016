"""`OnnxBackend`: the engine's Backend over onnxruntime. All heavy imports are its worker's alone."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from mongarsd.ground.errors import BadRequest, InvalidModel
from mongarsd.ground.job import Job
from mongarsd.inference.engine.base import BLOCK, NoRoom, Prompt, Row
from mongarsd.inference.engine.checks import checked
from mongarsd.inference.engine.prompts import Prompts
from mongarsd.inference.grammar.constraint import Constraint
from mongarsd.inference.grammar.matcher import Matchers
from mongarsd.inference.onnx.cells import Array, cut, join
from mongarsd.inference.onnx.companions import Companions
from mongarsd.inference.onnx.decoder import Decoder
from mongarsd.inference.onnx.guided import Guided
from mongarsd.inference.onnx.runtime import one_line
from mongarsd.inference.onnx.sampler import NumpySampler, supported
from mongarsd.inference.onnx.vocabulary import HubVocabulary
from mongarsd.inference.worker.protocol import Load, ModelInfo

log = logging.getLogger(__name__)


class OnnxBackend:
    """Not thread-safe, but `prompt` and `pieces` may be called from another thread while a step is computed."""

    checkpoints = False
    blocks = True

    def __init__(self, load: Load) -> None:
        """Raises InvalidModel."""
        beside = Companions.read(load.files)
        self._vocabulary = HubVocabulary(
            load.files["tokenizer"], beside.ends, bos=beside.bos, eos=beside.eos, suppressed=beside.suppressed
        )
        self._prompts = Prompts(self._vocabulary, beside.template, load.context)
        self._decoder = decoder = Decoder(load)
        self._matchers = Matchers(load.slots)
        self._lengths = [0] * load.slots
        self._outputs: list[list[Array]] = []
        self._context = load.context
        words = min(decoder.vocabulary, self._vocabulary.size)
        if words < self._vocabulary.size and not self._vocabulary.ends <= set(range(words)):
            raise InvalidModel(f"The model's outputs have {words} words and its tokenizer {self._vocabulary.size}.")
        self._vocabulary.size = words
        header = decoder.header
        self.layout = f"onnx {header.layers} {header.heads} {header.size} {int(header.half)}"
        self.info = ModelInfo(
            architecture=beside.architecture,
            parameters=decoder.parameters,
            vocabulary=words,
            context_train=beside.context or load.context,
            context=load.context,
            slots=load.slots,
            kv_bytes_per_token=header.bytes_per_token,
            has_template=beside.template is not None,
            thinks=self._prompts.thinks,
            drafts=False,  # its kernels round otherwise for one token than for several
            build=decoder.build,
            computes=f"{decoder.build}: {decoder.why}",
            warnings=decoder.warnings,
        )
        log.info("onnxruntime computes with %s: %s", decoder.build.rpartition(" ")[2], decoder.why)
        self._warm_up()

    def _warm_up(self) -> None:
        """A prompt and a token, so that Ready means it."""
        token = max(self._vocabulary.bos, 0)
        try:
            self.decode([Row(0, 0, [token] * min(3, self._context - 1), 0)])
            self.decode([Row(0, self._lengths[0], [token], 1)] if self._lengths[0] < self._context else [])
        except Exception as error:  # onnxruntime's errors have no common class
            raise InvalidModel(f"The model does not compute: {one_line(error)}") from None
        self.trim(0, 0)

    def prompt(self, job: Job) -> Prompt:
        if setting := supported(job.sampling):
            raise BadRequest(
                f"{setting} is not there for ONNX models: leave it out, or use a GGUF model", param=setting
            )
        return self._prompts.prompt(job)

    def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        piece = self._vocabulary.piece
        return [piece(token) for token in tokens]

    def is_end(self, token: int) -> bool:
        return token in self._vocabulary.ends

    def sampler(self, job: Job, prompt: Sequence[int], constraint: Constraint | None = None) -> NumpySampler:
        checked(job.sampling, self._vocabulary.size)
        guided = None
        if constraint:
            guided = Guided(constraint, self._vocabulary, self._matchers)
            guided.follow(job.produced)
        return NumpySampler(
            job, prompt, self._context, self._vocabulary, lambda row, output: self._outputs[row][output], guided
        )

    def adapt(self, adapter: str, used: Collection[str]) -> bool:  # noqa: ARG002 (the contract)
        if adapter:
            raise InvalidModel("LoRA adapters are for GGUF models: this one is ONNX", param="model")
        return True

    def decode(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if row.start != self._lengths[row.sequence]:
                raise RuntimeError(f"row at {row.start} does not continue {self._lengths[row.sequence]} cells")
            if row.start + len(row.tokens) > self._context:
                raise NoRoom
        self._outputs = self._decoder.compute(rows)
        for row in rows:
            self._lengths[row.sequence] = row.start + len(row.tokens)

    def trim(self, sequence: int, length: int) -> bool:
        self._decoder.cells.trim(sequence, length)
        self._lengths[sequence] = length
        return True

    def copy(self, source: int, target: int) -> None:
        cells, length = self._decoder.cells, self._lengths[source]
        cells.write(target, cells.read(source, 0, length))
        self._lengths[target] = length

    def export(self, sequence: int, begin: int, end: int) -> list[bytes]:
        return cut(self._decoder.cells.read(sequence, begin * BLOCK, min(end * BLOCK, self._lengths[sequence])))

    def checkpoint(self, sequence: int) -> bytes:  # noqa: ARG002 (the contract)
        return b""

    def checkpoint_size(self, tokens: int) -> int:  # noqa: ARG002 (the contract)
        return 0

    def restore(self, sequence: int, blocks: Sequence[bytes], checkpoint: bytes = b"") -> bool:
        tables = None if checkpoint else join(self._decoder.header, blocks)
        length = 0 if tables is None else tables[0].shape[1]
        if tables is None or length > self._context:
            self.trim(sequence, 0)
            return False
        self._decoder.cells.write(sequence, tables)
        self._lengths[sequence] = length
        return True

    def set_threads(self, decode: int, prefill: int) -> None:
        """onnxruntime fixes its threads when a session is made."""

    def close(self) -> None:
        self._outputs = []

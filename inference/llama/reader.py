"""The Runner of a GGUF model that embeds or ranks."""

from __future__ import annotations

import time

from mongarsd.ground.clock import Clock
from mongarsd.inference.embed.embedder import Embedder
from mongarsd.inference.llama.embedding import RUN, Reader
from mongarsd.inference.llama.library import build_id
from mongarsd.inference.llama.model import Model
from mongarsd.inference.llama.texts import Texts
from mongarsd.inference.llama.tokens import Vocabulary
from mongarsd.inference.worker.board import Following
from mongarsd.inference.worker.protocol import Load, ModelInfo


def open_reader(load: Load, clock: Clock) -> Embedder:
    """Load the model. Raises InvalidModel, DoesNotFit, StartError."""
    ranks = load.kind == "rerank"
    model = Model(load.path, gpu_layers=load.gpu_layers)
    vocabulary = Vocabulary(model.vocab)
    template = model.metadata("tokenizer.chat_template.rerank") if ranks else None
    context = min(load.context, model.context_train or load.context)
    reader = Reader(
        model,
        ranks=ranks,
        context=context,
        decode_threads=load.decode_threads,
        prefill_threads=load.prefill_threads,
    )
    info = ModelInfo(
        architecture=model.architecture,
        parameters=model.parameters,
        vocabulary=vocabulary.size,
        context_train=model.context_train,
        context=context,
        slots=load.slots,
        kv_bytes_per_token=model.kv_bytes_per_token(),
        has_template=False,
        dimensions=0 if ranks else reader.width,
        build=build_id(),
    )
    texts = Texts(vocabulary, context, template)
    threads = Following(reader, load, time.monotonic())
    return Embedder(info, texts, reader, clock, load, run=RUN, threads=threads)

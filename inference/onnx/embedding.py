"""The Runner of an ONNX model that embeds or ranks."""

from __future__ import annotations

from mongarsd.ground.clock import Clock
from mongarsd.inference.embed.embedder import Embedder
from mongarsd.inference.worker.protocol import Load, ModelInfo


def open_embedder(load: Load, clock: Clock) -> Embedder:
    """Load model and tokenizer. Raises InvalidModel."""
    from mongarsd.inference.onnx.session import Session
    from mongarsd.inference.onnx.tokens import Tokenizer

    tokenizer = Tokenizer(load.files["tokenizer"], load.context)
    session = Session(load)
    info = ModelInfo(
        architecture="onnx",
        parameters=session.parameters,
        vocabulary=tokenizer.vocabulary,
        context_train=load.context,
        context=load.context,
        slots=load.slots,
        kv_bytes_per_token=0,
        has_template=False,
        dimensions=session.dimensions if load.kind == "embedding" else 0,
        build=session.build,
    )
    return Embedder(info, tokenizer, session, clock, load)

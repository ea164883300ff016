"""How much memory a worker needs for a model.

    pinned   = RUNTIME + weights + KV + compute            must fit into the memory budget
    resident = pinned + originals                          what `ps` shows as RSS

- RUNTIME: interpreter, llama.cpp, message codec, templates.
- weights: the file's size, once. Weights are read for every token, so they must stay in memory: either as llama.cpp's
  repacked copy (anonymous memory) or as pages of the mapped file.
- originals: for quants that repack, the mapped pages the copy was made from. Nothing reads them again and the kernel
  drops them when it needs room, so they count in RSS (twice the file) and not in the budget. If they did, the default
  model would be refused on a Pi Zero 2 W.
- KV: slots x context x bytes a token (f16), all touched when the context is created. A sliding window keeps all its
  cells (`Context`), a recurrent layer has a state of fixed size for each slot instead.
- compute: activations of one micro-batch (17 MB touched for SmolLM2 at 2,048 tokens, 33 MB at 8,192). What grows with
  the model is taken as 1/16 of its weights, the attention mask as MICRO_BATCH x context x 6 bytes (f32 and f16).

Measured: a worker with SmolLM2-135M Q4_0 (91.7 MB), llama-cpp-python 0.3.36 on x86, after prompts, in MB, and what this
file says:

    slots x context   RSS  resident   anonymous + embedding and libraries from files   pinned
    8 x 2048          599  623        492 + 38                                         532
    4 x 8192          977  1020       869 + 38                                         928
    1 x 2048          267  293        159 + 38                                         201
"""

from __future__ import annotations

from msgspec import Struct

MIB = 1 << 20
RUNTIME = 32 * MIB
COMPUTE = 16 * MIB
MICRO_BATCH = 512  # tokens; llama.cpp's default n_ubatch


class ModelFacts(Struct, frozen=True, kw_only=True):
    """What the budget must know of a model; sizes in bytes. `repacks`: Q4_0, Q4_K, Q6_K, Q8_0 and their kin."""

    weights: int
    kv_bytes_per_token: int
    context_train: int
    layers: int
    state_bytes: int = 0  # of a sequence, however long: recurrent layers
    repacks: bool = True


#: SmolLM2-135M-Instruct Q4_0, the model a fresh installation serves: for a recommendation before any model is there.
DEFAULT_MODEL = ModelFacts(weights=91_726_912, kv_bytes_per_token=23_040, context_train=8192, layers=30)


#: onnxruntime, numpy and tokenizers over a bare worker: 52 MB measured, and the vocabulary 10.
ONNX_RUNTIME = 64 * MIB
#: What grammars followed in Python remember for each slot, and for those kept (`inference/grammar/matcher.py`).
ONNX_GRAMMAR = 3_000_000
ONNX_GRAMMARS_KEPT = 4
#: Activations of one run of 1,024 tokens: 40 MB measured for all-MiniLM-L6-v2, in tables of up to 256 tokens.
ONNX_COMPUTE = 48 * MIB


def estimate_onnx(file: int, float_bytes: int) -> int:
    """Bytes that a worker for an ONNX embedding model needs.

    onnxruntime turns the weights of most small exports into 32-bit numbers at load, and holds the larger of both.
    Measured, all-MiniLM-L6-v2 int8 (22.9 MB; 90.5 MB as floats): 220 MB while it loads, 165 afterwards, 215 at work.
    """
    return RUNTIME + ONNX_RUNTIME + max(file, float_bytes) * 9 // 8 + ONNX_COMPUTE


#: Tokens of a step of a reading model: of several texts together; of a model with KV cells.
READER_RUN = 512
READER_STEP = 128


def estimate_reader(
    facts: ModelFacts, *, context: int, width: int, feed_forward: int, vocabulary: int, causal: bool
) -> int:
    """Bytes that a worker for a GGUF model needs which embeds or ranks texts of up to `context` tokens.

    A text is seen in one step: its activations, and the attention mask of all tokens with all. Causal models take it
    in smaller ones and fill KV cells. llama.cpp sets memory aside for the logits of every token of a step, though a
    reader has none, and computes and copies them for causal models.

    Measured (RSS after the longest text, and what this says, in MB): BERT of 768 x 3,072, vocabulary 30,522, 1,024
    tokens 266, 312; 384 x 1,536, 60,000, 512 tokens 222, 242; Qwen3 of 128 x 512, 151,000, 1,024 tokens 248, 250.
    """
    tokens = max(context, READER_RUN)
    if causal:
        kept = tokens * facts.kv_bytes_per_token + READER_STEP * (vocabulary * 8 + (width + feed_forward) * 16)
    else:
        kept = tokens * ((width * 8 + feed_forward * 2 + vocabulary) * 4 + tokens * 6)
    return RUNTIME + facts.weights + COMPUTE + kept


def onnx_decoder_weights(file: int) -> int:
    """What counts as the weights of an ONNX chat model: onnxruntime packs the matrices anew and keeps the file's, too.

    Measured, SmolLM2-135M as int4 (100.6 MB), one slot of 512 tokens: 304 MB at work, 24 of them cells.
    """
    return ONNX_RUNTIME + ONNX_GRAMMARS_KEPT * ONNX_GRAMMAR + file * 7 // 4


class MemoryEstimate(Struct, frozen=True, kw_only=True):
    """Bytes, by what they are for."""

    weights: int
    kv: int
    compute: int
    originals: int = 0
    runtime: int = RUNTIME

    @property
    def pinned(self) -> int:
        return self.runtime + self.weights + self.kv + self.compute

    @property
    def resident(self) -> int:
        return self.pinned + self.originals


def estimate(facts: ModelFacts, slots: int, context: int) -> MemoryEstimate:
    """For one worker with `slots` sequences of `context` tokens each."""
    return MemoryEstimate(
        weights=facts.weights,
        kv=slots * (context * facts.kv_bytes_per_token + facts.state_bytes),
        compute=COMPUTE + facts.weights // 16 + MICRO_BATCH * context * 6,
        originals=facts.weights if facts.repacks else 0,
    )


def estimate_memory(facts: ModelFacts, slots: int, context: int) -> int:
    """Bytes that must fit into the memory budget (`pinned`)."""
    return estimate(facts, slots, context).pinned

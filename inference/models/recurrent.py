"""What a sequence of a recurrent or hybrid model keeps beside its KV cells: bytes that do not grow with its length.

Source: llama-hparams.cpp (`n_embd_r`, `n_embd_s`) and the `load_arch_hparams` of each architecture, as vendored by
llama-cpp-python 0.3.36.
"""

from __future__ import annotations

from collections.abc import Callable

F32 = 4  # bytes: llama.cpp keeps states as f32
#: Kernels, groups, widths of heads; and the width of a layer. What is larger is no model.
MAX_PART, MAX_WIDTH = 1 << 12, 1 << 24
#: One layer in so many attends, where the file does not say.
INTERVAL = 4
BY_INTERVAL = frozenset({"qwen3next", "qwen35", "qwen35moe"})
#: Their layers attend and remember at once.
BOTH = frozenset({"falcon-h1"})

#: The value of a key, named without its architecture, which is at most so large; 0 if it is not there.
Read = Callable[[str, int], int]


def layers_of(architecture: str, read: Read, heads_kv: list[int], heads: int, embedding: int) -> tuple[list[int], int]:
    """(KV heads of each layer that has KV cells, bytes of a sequence's state in all others)."""
    state = _state(read, embedding, heads)
    if not state:
        return heads_kv, 0
    if architecture in BY_INTERVAL:
        interval = read("full_attention_interval", MAX_PART) or INTERVAL
        attending = heads_kv[interval - 1 :: interval]
    else:
        attending = [count for count in heads_kv if count]
    recurrent = len(heads_kv) - (0 if architecture in BOTH else len(attending))
    return attending, recurrent * state


def _state(read: Read, embedding: int, heads: int) -> int:
    """Bytes of one layer's state; 0 for a model without such layers."""
    kernel = read("ssm.conv_kernel", MAX_PART)
    if head := read("wkv.head_size", MAX_PART):  # RWKV
        return F32 * embedding * (read("token_shift_count", MAX_PART) + head)
    if span := read("shortconv.l_cache", MAX_PART):  # LFM2
        return F32 * embedding * (span - 1)
    if head := read("kda.head_dim", MAX_PART):  # Kimi Linear
        return F32 * heads * head * (3 * ((kernel or 4) - 1) + head)
    state, inner = read("ssm.state_size", MAX_PART), read("ssm.inner_size", MAX_WIDTH)
    return F32 * (max(kernel - 1, 0) * (inner + 2 * read("ssm.group_count", MAX_PART) * state) + state * inner)

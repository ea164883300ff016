from __future__ import annotations

import io
import os
import struct
import time
from pathlib import Path

import pytest
from fakes.gguf_files import ARRAY, BOOL, F32, I32, STRING, TINY, U32, U64, Weights, build_gguf, llama_values
from gguf import GGUFReader
from gguf.constants import GGML_QUANT_SIZES
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mongarsd.ground.errors import InvalidModel
from mongarsd.inference.models.container import MAX_KEPT, MAX_STRINGS
from mongarsd.inference.models.ggml import FILE_TYPES, TENSOR_TYPES
from mongarsd.inference.models.gguf import GgufHeader, parse_header, read_header

GOOD = build_gguf()


def parse(data: bytes) -> GgufHeader:
    return parse_header(io.BytesIO(data), len(data))


def test_facts() -> None:
    header = parse(GOOD)
    assert header == GgufHeader(
        version=3,
        architecture="llama",
        name="Tiny",
        parameters=256,
        quantization="Q4_0",
        context_length=128,
        block_count=2,
        embedding_length=64,
        output_length=64,
        feed_forward_length=0,
        purpose="chat",
        causal=True,
        kv_bytes_per_token=2 * 2 * (16 + 16) * 2,
        state_bytes=0,
        vocabulary=4,
        chat_template="{{ messages }}",
        bos=0,
        eos=1,
        licence="mit",
        tensor_bytes=144,
        repacked_bytes=144,
    )
    assert header.repacks


def test_version_2_is_read() -> None:
    assert parse(build_gguf(version=2)).version == 2


def test_agrees_with_the_reference_reader(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(GOOD)
    reference = GGUFReader(tmp_path / "tiny.gguf")
    assert [tensor.name for tensor in reference.tensors] == [tensor.name for tensor in TINY]
    assert sum(int(tensor.n_bytes) for tensor in reference.tensors) == read_header(tmp_path / "tiny.gguf").tensor_bytes


def test_type_table_agrees_with_the_reference() -> None:
    for kind, (block, size) in GGML_QUANT_SIZES.items():
        ours = TENSOR_TYPES[int(kind)]
        # The reference gives Q8_1 40 bytes, ggml-common.h asserts 36; no file holds it.
        assert kind.name == "Q8_1" or (ours.name, ours.block, ours.size) == (kind.name, block, size)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"llama__attention__head_count_kv": (ARRAY, (I32, [1, 3]))}, (1 + 3) * 32 * 2),
        ({"llama__attention__key_length": (U32, 8), "llama__attention__value_length": (U32, 24)}, 4 * 32 * 2),
        ({"llama__attention__head_count": (U32, 0), "llama__attention__head_count_kv": (U32, 0)}, 0),
        ({"llama__attention__key_length": (U64, 128)}, 4 * (128 + 16) * 2),
    ],
)
def test_kv_bytes(values: dict[str, tuple[int, object]], expected: int) -> None:
    assert parse(build_gguf(llama_values(**values))).kv_bytes_per_token == expected


def test_kv_heads_default_to_heads() -> None:
    values = llama_values()
    del values["llama.attention.head_count_kv"]
    assert parse(build_gguf(values)).kv_bytes_per_token == 2 * 4 * 32 * 2


def test_quantization_falls_back_to_the_majority() -> None:
    values = llama_values(general__file_type=(U32, 1024))
    tensors = [Weights("a", (32, 4), 3, 0), Weights("b", (32, 2), 2, 96)]
    header = parse(build_gguf(values, tensors, data=160))
    assert (header.quantization, header.repacked_bytes, header.repacks) == ("Q4_1", 36, False)


def test_file_types_have_unique_labels() -> None:
    assert len(set(FILE_TYPES.values())) == len(FILE_TYPES)


def test_labels_are_printable_and_short() -> None:
    header = parse(build_gguf(llama_values(general__name=(STRING, "\x1b[31mred\n" + "x" * 500))))
    assert header.name.startswith("[31mredxxx")
    assert len(header.name) == 200


def test_other_alignment() -> None:
    values = llama_values(general__alignment=(U32, 64))
    assert parse(build_gguf(values, alignment=64)).parameters == 256


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 bytes"),
        (b"GGUF", "4 bytes"),
        (b"GGML" + GOOD[4:], "starts with"),
        (b"<!DOCTYPE html>" + bytes(100), "starts with"),
        (build_gguf(version=1), "version 1"),
        (build_gguf(version=4), "version 4"),
        (GOOD[:4] + struct.pack(">I", 3) + GOOD[8:], "big-endian"),
        (GOOD[:8] + struct.pack("<Q", 2**63) + GOOD[16:], "do not fit"),
        (GOOD[:16] + struct.pack("<Q", 2**64 - 1) + GOOD[24:], "do not fit"),
        (GOOD[:24] + struct.pack("<Q", 2**64 - 1) + GOOD[32:], "at most"),
        (GOOD[:-100], "truncated"),
        (build_gguf(tensors=()), "no weights"),
        (build_gguf([*llama_values().items(), ("general.name", (U32, 1))]), "twice"),
        (build_gguf([*llama_values().items(), ("", (U32, 1))]), "not valid"),
        (build_gguf([*llama_values().items(), ("a\0b", (U32, 1))]), "not valid"),
        (build_gguf([*llama_values().items(), ("k" * 2000, (U32, 1))]), "at most"),
        (build_gguf({"x": (U32, 1)}), "general.architecture"),
        (build_gguf(llama_values(general__architecture=(U32, 1))), "not a text"),
        (build_gguf(llama_values(general__architecture=(STRING, b"\xff\xfe"))), "UTF-8"),
        (build_gguf(llama_values(general__alignment=(U32, 0))), "power of two"),
        (build_gguf(llama_values(general__alignment=(U32, 48))), "power of two"),
        (build_gguf(llama_values(general__alignment=(U32, 2**31))), "power of two"),
        (build_gguf(llama_values(general__alignment=(STRING, "32"))), "power of two"),
        (build_gguf(llama_values(general__type=(STRING, "mmproj"))), "part of one"),
        (build_gguf(llama_values(general__type=(STRING, "adapter"))), "part of one"),
        (build_gguf(llama_values(split__count=(U32, 3))), "one of 3 parts"),
        (build_gguf(llama_values(llama__block_count=(U32, 2**32 - 1))), "block_count"),
        (build_gguf(llama_values(llama__block_count=(I32, -1))), "block_count"),
        (build_gguf(llama_values(llama__block_count=(BOOL, True))), "block_count"),
        (build_gguf(llama_values(llama__context_length=(F32, 1.5))), "context_length"),
        (build_gguf(llama_values(llama__attention__head_count_kv=(ARRAY, (I32, [1])))), "1 values for 2 layers"),
        (build_gguf(llama_values(llama__attention__head_count_kv=(ARRAY, (I32, [1, -1])))), "head_count_kv"),
        (build_gguf(llama_values(tokenizer__chat_template=(STRING, "x" * 2**19))), "chat template"),
        (build_gguf(llama_values(x=(ARRAY, (ARRAY, [])))), "not allowed"),
        (build_gguf(tensors=[Weights("a"), Weights("a")]), "twice"),
        (build_gguf(tensors=[Weights("a" * 64)]), "at most 63"),
        (build_gguf(tensors=[Weights("")]), "not valid"),
        (build_gguf(tensors=[Weights("a", ())]), "0 dimensions"),
        (build_gguf(tensors=[Weights("a", (32, 1, 1, 1, 1))]), "5 dimensions"),
        (build_gguf(tensors=[Weights("a", (32, 0))]), "impossible shape"),
        (build_gguf(tensors=[Weights("a", (33, 4))]), "impossible shape"),
        (build_gguf(tensors=[Weights("a", (2**40, 2**40))]), "impossible shape"),
        (build_gguf(tensors=[Weights("a", (2**32, 2**30))]), "truncated or damaged"),
        (build_gguf(tensors=[Weights("a", type=4)]), "type 4"),
        (build_gguf(tensors=[Weights("a", type=1000)]), "type 1000"),
        (build_gguf(tensors=[Weights("a", offset=2**64 - 32)]), "truncated or damaged"),
        (build_gguf(tensors=[Weights("a", offset=16)]), "not aligned"),
        (build_gguf(tensors=[Weights("a", offset=0), Weights("b", offset=32)]), "overlaps"),
        (build_gguf(tensors=[Weights("a", offset=0), Weights("b", offset=128)], data=144), "truncated"),
    ],
)  # fmt: skip
def test_refused(data: bytes, why: str) -> None:
    with pytest.raises(InvalidModel, match=why):
        parse(data)


def test_arrays_are_bounded() -> None:
    claims = struct.pack("<Q", 3) + b"big" + struct.pack("<IIQ", ARRAY, STRING, MAX_STRINGS + 1)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + claims
    with pytest.raises(InvalidModel, match="more than the file can hold"):
        parse(head + bytes(200))


def test_kept_values_are_bounded() -> None:
    values = [*llama_values().items(), *((f"k{n}", (STRING, "x" * 2**19)) for n in range(MAX_KEPT // 2**19 + 1))]
    with pytest.raises(InvalidModel, match="bytes of values"):
        parse(build_gguf(values))


def test_large_vocabulary_is_fast_and_windows_are_crossed() -> None:
    tokens = [f"token-{n:06}" * (1 + n % 3) for n in range(150_000)]  # about 4 MB: several windows
    data = build_gguf(llama_values(tokenizer__ggml__tokens=(ARRAY, (STRING, tokens))))
    started = time.thread_time()
    assert parse(data).vocabulary == 150_000
    assert time.thread_time() - started < 5  # 0.05 s on a quiet core


@settings(deadline=None)
@given(st.integers(0, len(GOOD) - 1))
def test_every_truncation_is_refused(length: int) -> None:
    # the last tensor needs no padding after it
    if length < len(GOOD) - 24:
        with pytest.raises(InvalidModel):
            parse(GOOD[:length])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 7)), min_size=1, max_size=8))
def test_flipped_bits_give_a_header_or_invalid_model(flips: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD)
    for at, bit in flips:
        data[at] ^= 1 << bit
    check_header_or_refusal(bytes(data))


@settings(deadline=None)
@given(st.integers(0, len(GOOD) - 8), st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1]))
def test_huge_numbers_anywhere_give_a_header_or_invalid_model(at: int, number: int) -> None:
    check_header_or_refusal(GOOD[:at] + struct.pack("<Q", number) + GOOD[at + 8 :])


@settings(deadline=None)
@given(st.binary(max_size=200))
@example(b"\x00" * 200)
def test_noise_after_the_magic_is_refused(noise: bytes) -> None:
    with pytest.raises(InvalidModel):
        parse(b"GGUF\x03\0\0\0" + noise)


def check_header_or_refusal(data: bytes) -> None:
    try:
        header = parse(data)
    except InvalidModel:
        return
    assert 0 < header.tensor_bytes <= len(data)
    assert 0 <= header.kv_bytes_per_token < 2**63


def test_missing_file_folder_and_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none.gguf", tmp_path, tmp_path / "pipe"):
        with pytest.raises(InvalidModel):
            read_header(path)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.generate import generate, job
from fakes.tiny_gguf import CONTEXT, IM_END, IM_START, write_tiny_gguf

from mongarsd.ground.errors import InvalidModel
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.engine.base import Backend, Row, Sampler
from mongarsd.inference.llama.backend import LlamaBackend
from mongarsd.inference.llama.library import build_id


def test_it_says_what_it_is(tiny: LlamaBackend) -> None:
    backend: Backend = tiny
    info = backend.info
    assert (info.architecture, info.slots, info.context, info.context_train) == ("llama", 4, 256, CONTEXT)
    assert info.has_template
    assert not info.thinks
    assert info.build == build_id()
    sampler: Sampler = tiny.sampler(job(text="a"), [1])
    sampler.close()


def test_ends_and_pieces(tiny: LlamaBackend) -> None:
    assert tiny.is_end(IM_END)
    assert not tiny.is_end(IM_START)
    assert tiny.pieces([104, IM_END]) == [b"h", b""]


def test_a_model_without_template_says_so(tmp_path: Path, open_llama: Callable[..., LlamaBackend]) -> None:
    assert not open_llama(write_tiny_gguf(tmp_path / "bare.gguf", template=None), slots=1).info.has_template


def test_eight_streams_say_what_each_says_alone(tiny_path: Path, open_llama: Callable[..., LlamaBackend]) -> None:
    backend = open_llama(tiny_path, slots=8)
    jobs = [job(text=f"stream {n}", sampling=Sampling(temperature=0.0, ignore_eos=True)) for n in range(8)]
    alone = [[c.token for c in generate(backend, each, 10)] for each in jobs]
    backend.trim(0, 0)
    prompts = [backend.prompt(each).tokens for each in jobs]
    samplers = [backend.sampler(each, prompt) for each, prompt in zip(jobs, prompts, strict=True)]
    said: list[list[int]] = [[] for _ in jobs]
    backend.decode([Row(s, 0, prompt, True) for s, prompt in enumerate(prompts)])
    for step in range(10):
        for s, sampler in enumerate(samplers):
            said[s].append(sampler.sample(s).token)
        backend.decode([Row(s, len(prompts[s]) + step, said[s][-1:], True) for s in range(8)])
    assert said == alone


def test_a_closed_backend_has_closed_its_samplers(tiny_path: Path, open_llama: Callable[..., LlamaBackend]) -> None:
    backend = open_llama(tiny_path, slots=1)
    sampler = backend.sampler(job(text="a"), [1])
    backend.close()
    assert sampler._chain is None


def test_a_damaged_model_is_refused(tmp_path: Path, open_llama: Callable[..., LlamaBackend]) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF nonsense")
    with pytest.raises(InvalidModel):
        open_llama(path)

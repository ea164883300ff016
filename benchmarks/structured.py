"""What a schema costs: tokens a second of schema-bound answers against free text, in pairs, on the engine without HTTP.

python -m benchmarks.structured MODEL.gguf [STREAMS …]
"""

from __future__ import annotations

import sys
import time

from benchmarks.table import Row
from mongarsd.ground.clock import SystemClock
from mongarsd.ground.job import Delta, Finished, Job, Message
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.engine.loop import Engine, prepare
from mongarsd.inference.engine.scheduler import Scheduler
from mongarsd.inference.grammar.schema import compile_schema
from mongarsd.inference.llama.backend import LlamaBackend
from mongarsd.inference.worker.protocol import Load

TOKENS = 128
PAIRS = 5
SLOTS = 8
STREAMS = (1, 8)
TARGET = 0.9
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "zip": {"type": "string", "pattern": "^[0-9]{5}$"}},
            "required": ["street", "zip"],
        },
        "kind": {"enum": ["friend", "colleague", "family"]},
        "notes": {"type": "array", "items": {"type": "string", "minLength": 20}, "minItems": 20},
    },
    "required": ["name", "age", "address", "kind", "notes"],
}
QUESTION = Message(role="user", content="Describe a person as JSON: name, age, address, kind, and twenty notes.")


def rate(backend: LlamaBackend, streams: int, grammar: str | None, seed: int) -> float:
    """Tokens a second from the first token to the last, all streams together."""
    scheduler = Scheduler(slots=SLOTS, context=backend.info.context, queue=SLOTS, max_gap=0.5, batch=2048)
    engine = Engine(backend, scheduler, SystemClock(), "benchmark")
    for number in range(streams):
        sampling = Sampling(temperature=0.8, seed=seed + number, ignore_eos=grammar is None)
        job = Job(
            id=f"{number}", model="m", messages=(QUESTION,), sampling=sampling, max_tokens=TOKENS, grammar=grammar
        )
        prompt = prepare(backend, job)
        assert not hasattr(prompt, "error"), prompt
        engine.submit(job, prompt)
    begin, tokens, ended = None, 0, 0
    while ended < streams:
        for event in (*engine.admit(), *engine.step()):
            if isinstance(event, Delta):
                begin = begin or time.monotonic()
                tokens += len(event.tokens)
            ended += isinstance(event, Finished)
    return tokens / (time.monotonic() - (begin or 0))


def pairs(backend: LlamaBackend, streams: int, grammar: str) -> Row:
    """Free text and bound answers in turn, who goes first alternating."""
    rates: dict[str | None, list[float]] = {None: [], grammar: []}
    for index in range(PAIRS):
        for bound in (grammar, None) if index % 2 else (None, grammar):
            rates[bound].append(rate(backend, streams, bound, 100 * index))
    name = f"schema-bound against free text, {streams} stream{'s' if streams > 1 else ''}"
    return Row(name, "t/s", rates[grammar], rates[None], "higher", TARGET)


def main(path: str, *streams: str) -> None:
    load = Load(
        model="m",
        path=path,
        node="b",
        slots=SLOTS,
        context=512,
        decode_threads=2,
        prefill_threads=2,
        queue=8,
        max_gap=0.5,
    )
    backend = LlamaBackend(load)
    grammar = compile_schema(PERSON)
    rate(backend, SLOTS, grammar, 1000)  # warm up
    for number in map(int, streams or STREAMS):
        row = pairs(backend, number, grammar)
        print(row.markdown(), *(f"{ratio:.2f}" for ratio in row.ratios))
    backend.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

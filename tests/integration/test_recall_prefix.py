"""Recall with the real models: what is found, and that the second turn still comes from the prefix cache."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.daemon_process import MODEL, DaemonProcess

from mongarsd.ground.settings import ModelSettings

FACTS = [
    "Our cat is called Mia and she is afraid of thunder",
    "The vet's telephone number is 555 0199",
    "Grandmother's birthday is on the 4th of May",
    "The spare key of the house lies under the third flower pot",
    "The bicycle is locked with the number 2718",
    "Anna cannot eat nuts",
    "The heating engineer comes each October",
    "The wireless network of the house is called Sparrow",
]
#: A question without a word of its answer but stop words, or almost, and which fact answers it.
QUESTIONS = {
    "What is our pet's name?": 0,
    "When was granny born?": 2,
    "How do I get in when I have locked myself out?": 3,
    "Who has an allergy to almonds?": 5,
    "How do I connect my phone to the internet at home?": 7,
}
SYSTEM = "You are the assistant of a family. " + "Answer shortly, kindly and truthfully. " * 60  # 500 tokens


@pytest.fixture(scope="module")
def remembering(
    default_model: Path, embedding_model: Path, install: Callable[[Path, Path], Any], until: Callable[..., None]
) -> Iterator[DaemonProcess]:
    folder = Path(tempfile.mkdtemp(prefix="m"))
    daemon = None
    try:
        install(folder / "s", default_model)
        name = ModelSettings().embedding
        source, target = embedding_model / "models", folder / "s" / "models"
        manifest = json.loads((source / "manifests" / f"{name}.json").read_text())
        for digest in (manifest["digest"], *(file["digest"] for file in manifest["files"].values())):
            blob = digest.replace(":", "-")
            shutil.copy(source / "blobs" / blob, target / "blobs" / blob)
        shutil.copy(source / "manifests" / f"{name}.json", target / "manifests")
        knobs = {"MONGARSD_INFERENCE_SLOTS": "2", "MONGARSD_INFERENCE_CONTEXT": "2048"}
        daemon = DaemonProcess(folder, fake=False, state="s", env=knobs)
        for fact in FACTS:
            ask(daemon, "POST", "/v1/memory", {"text": fact})
        until(lambda: all(one["embedded"] for one in ask(daemon, "GET", "/v1/memory")["data"]))
        yield daemon
    finally:
        if daemon:
            daemon.close()
        shutil.rmtree(folder)


def ask(daemon: DaemonProcess, method: str, path: str, body: object = None) -> Any:
    with contextlib.closing(http.client.HTTPConnection("localhost", timeout=100)) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(100)
        connection.sock.connect(str(daemon.control))
        connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 200
        return json.loads(response.read())


@pytest.mark.parametrize("question", QUESTIONS)
def test_meaning_finds_what_other_words_say(remembering: DaemonProcess, question: str) -> None:
    from urllib.parse import urlencode

    found = ask(remembering, "GET", f"/v1/memory/search?{urlencode({'q': question, 'k': 3})}")
    assert found["mode"] == "hybrid"
    assert FACTS[QUESTIONS[question]] in [one["memory"]["text"] for one in found["data"]]


def test_the_second_turn_has_nine_tenths_of_its_prompt_cached(remembering: DaemonProcess) -> None:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "What is our cat afraid of?"}]
    # 16 tokens: even an answer whose words make other tokens than it had leaves nine tenths.
    body = {"model": MODEL, "messages": messages, "temperature": 0, "max_tokens": 16, "memory": {"recall": True}}
    first = ask(remembering, "POST", "/v1/chat/completions", body)
    assert first["memory"]["recalled"][0]["text"] == FACTS[0]
    messages += [first["choices"][0]["message"], {"role": "user", "content": "Who comes in October?"}]
    second = ask(remembering, "POST", "/v1/chat/completions", body)
    assert FACTS[6] in [one["text"] for one in second["memory"]["recalled"]]
    usage = second["usage"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    print(f"{cached} of {usage['prompt_tokens']} tokens were cached")  # noqa: T201
    assert cached >= first["usage"]["prompt_tokens"]  # the memories of the first turn stand where they stood
    assert cached / usage["prompt_tokens"] >= 0.9

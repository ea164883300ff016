"""What Open WebUI asks of both its doors, recorded from its routers."""

from __future__ import annotations

import json
from typing import Any

from fakes.executor import FakeExecutor
from fakes.served import Served, serve

HEADERS = {
    "Authorization": "Bearer none",  # while no key exists, any is as good as none
    "X-OpenWebUI-Chat-Id": "6a1f0c9e-0000-4000-8000-000000000000",
    "X-OpenWebUI-User-Id": "u",
    "X-OpenWebUI-User-Name": "Ana%20Maria",
}
HI = [{"role": "user", "content": "Hi"}]


async def lines(served: Served, path: str, **body: Any) -> list[dict[str, Any]]:
    async with served.client.post(served.url + path, json=body, headers=HEADERS) as response:
        assert response.status == 200
        return [json.loads(line) for line in (await response.read()).splitlines()]


async def test_the_ollama_door(served: Served) -> None:
    version = (await served.json("GET", "/api/version", headers=HEADERS))["version"]
    assert tuple(int(part) for part in version.split("-")[0].removeprefix("v").split(".")) > (0, 1, 33)
    (model,) = (await served.json("GET", "/api/tags", headers=HEADERS))["models"]
    assert model["model"] == model["name"] == "tiny:latest"
    assert (await served.json("GET", "/api/ps", headers=HEADERS))["models"] == []
    shown = await served.json("POST", "/api/show", json={"model": model["model"]}, headers=HEADERS)
    assert "completion" in shown["capabilities"]
    options = {"num_ctx": 4096, "num_batch": 512, "num_thread": 4, "use_mmap": True, "tfs_z": 1, "num_keep": 24}
    said = await lines(
        served, "/api/chat", model=model["model"], messages=HI, stream=True, options=options, format=None, metadata={}
    )
    assert "".join(line["message"]["content"] for line in said) == "Hello, world"
    gone = await served.json("POST", "/api/generate", json={"model": model["model"], "keep_alive": 0, "prompt": ""})
    assert gone["done_reason"] == "unload"
    assert (await lines(served, "/api/pull", model="tiny"))[-1] == {"status": "success"}


async def test_the_openai_door() -> None:
    async with serve(FakeExecutor(("Yes",))) as served:
        listed = await served.json("GET", "/v1/models", headers=HEADERS)
        assert [model["id"] for model in listed["data"]] == ["tiny"]
        answer = await served.chat(messages=HI)
        assert answer["choices"][0]["message"]["content"] == "Yes"
        failed = await served.chat(404, model="nobody")
        assert failed["error"]["message"]

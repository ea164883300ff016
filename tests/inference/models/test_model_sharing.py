"""Several pulls of the same model at once."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from fakes.model_store import BODY, REF, Scene, pull, wait_until

from mongarsd.ground.errors import (
    SourceUnavailable,
)


async def test_pulls_of_the_same_share_one_download(scene: Scene) -> None:
    scene.sources[REF].gate = asyncio.Event()
    store = scene.store()
    tasks = [asyncio.create_task(pull(store, name=f"m{n % 3}")) for n in range(6)]
    await wait_until(lambda: scene.sources[REF].sent > 0)
    scene.sources[REF].gate.set()
    results = await asyncio.gather(*tasks)
    assert all(lines[-1].status == "success" for lines in results)
    assert [model.name for model in store.installed()] == ["m0", "m1", "m2"]
    assert (scene.sources[REF].offers, scene.sources[REF].sent) == (1, len(BODY))
    assert len(scene.files("blobs")) == 1


async def test_one_leaves_and_the_others_go_on(scene: Scene) -> None:
    scene.sources[REF].gate = asyncio.Event()
    store = scene.store()
    stays, leaves = asyncio.create_task(pull(store)), asyncio.create_task(pull(store))
    await wait_until(lambda: scene.sources[REF].sent > 0)
    leaves.cancel()
    await asyncio.wait([leaves])
    scene.sources[REF].gate.set()
    assert (await stays)[-1].status == "success"


async def test_the_last_one_leaves_and_the_next_resumes(scene: Scene) -> None:
    gate = scene.sources[REF].gate = asyncio.Event()
    store = scene.store()
    async with aclosing(store.pull(REF)) as lines:
        async for _ in lines:
            if scene.sources[REF].sent:
                break
    await wait_until(lambda: not any(task.get_name().startswith("models.") for task in asyncio.all_tasks()))
    gate.set()
    await pull(store)
    assert scene.sources[REF].sent >= len(BODY)
    assert store.resolve("model").path.read_bytes() == BODY


async def test_failure_reaches_everybody_and_is_not_remembered(scene: Scene) -> None:
    scene.sources[REF].error = SourceUnavailable("down")
    store = scene.store()
    results = await asyncio.gather(pull(store), pull(store), return_exceptions=True)
    assert all(isinstance(result, SourceUnavailable) for result in results)
    scene.sources[REF].error = None
    await pull(store)


async def test_close_cancels_and_keeps_what_arrived(scene: Scene) -> None:
    scene.sources[REF].gate = asyncio.Event()
    store = scene.store()
    task = asyncio.create_task(pull(store))
    await wait_until(lambda: scene.sources[REF].sent > 0)
    await store.close()
    await store.close()
    with pytest.raises(SourceUnavailable, match="what has arrived is kept"):
        await task
    assert [path.suffix for path in scene.files("partial")] == [".part"]

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import pytest

from mongarsd.daemon.default_model import RETRY, RETRY_MAX, Arrival, DefaultModel
from mongarsd.daemon.progress import BarProgress, LogProgress, describe
from mongarsd.ground.errors import (
    DoesNotFit,
    InvalidModel,
    Loading,
    ModelNotFound,
    MongarsError,
    SourceUnavailable,
)
from mongarsd.ground.settings import ModelSettings
from mongarsd.ground.status import ModelStatus, PullProgress

NAME = ModelSettings().default


class FakeModels:
    """A store that fails with `failures`, one an attempt, before a pull works."""

    def __init__(self, *failures: MongarsError, installed: bool = False) -> None:
        self.failures = list(failures)
        self.installed = installed
        self.pulls = 0
        self.loaded: list[str] = []
        self.refuse: MongarsError | None = None

    def list(self) -> list[ModelStatus]:
        return [self.get(NAME)] if self.installed else []

    def get(self, name: str) -> ModelStatus:
        if not self.installed:
            raise ModelNotFound("absent")
        return ModelStatus(name=name, digest="sha256:" + "0" * 64, size=1)

    async def pull(self, ref: str, name: str | None) -> AsyncIterator[PullProgress]:
        assert (ref, name) == (NAME, None)
        self.pulls += 1
        yield PullProgress(status="downloading", total=100, completed=40)
        if self.failures:
            raise self.failures.pop(0)
        self.installed = True
        yield PullProgress(status="success")

    async def load(self, name: str) -> None:
        if self.refuse:
            raise self.refuse
        self.loaded.append(name)

    async def unload(self, name: str) -> None: ...

    async def remove(self, name: str) -> None: ...


class Bench:
    def __init__(self, models: FakeModels, settings: ModelSettings | None = None) -> None:
        self.models = models
        self.arrival = Arrival()
        self.said: list[str] = []
        self.slept: list[float] = []
        self.seen: list[tuple[str, bool]] = []  # the obstacle at each progress, and whether requests get Loading
        self.first = DefaultModel(
            models,
            settings or ModelSettings(),
            self.arrival,
            show=self.show,
            say=self.said.append,
            sleep=self.sleep,
        )

    def show(self, progress: PullProgress) -> None:
        try:
            self.arrival.raise_if_coming(NAME)
        except Loading:
            self.seen.append((self.first.obstacle, True))
        else:
            self.seen.append((self.first.obstacle, False))

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


async def test_fetched_and_loaded() -> None:
    bench = Bench(FakeModels())
    await bench.first.run()
    assert bench.models.loaded == [NAME]
    assert bench.first.obstacle == ""
    assert bench.arrival.stage == ""
    assert [coming for _, coming in bench.seen] == [True, True]
    assert f"the model {NAME} is being fetched: downloading, 40 % of 0 MB" in bench.said
    assert bench.said[-1] == "ready"


async def test_installed_is_not_fetched_again() -> None:
    bench = Bench(FakeModels(installed=True))
    await bench.first.run()
    assert (bench.models.pulls, bench.models.loaded) == (0, [NAME])


async def test_not_loaded_when_not_wanted() -> None:
    bench = Bench(FakeModels(installed=True), ModelSettings(preload=False))
    await bench.first.run()
    assert bench.models.loaded == []
    assert bench.first.obstacle == ""


async def test_passing_failures_are_tried_again_ever_more_rarely() -> None:
    bench = Bench(FakeModels(*(SourceUnavailable("no network.") for _ in range(8))))
    await bench.first.run()
    assert bench.models.pulls == 9
    assert bench.slept[:3] == [RETRY, 2 * RETRY, 4 * RETRY]
    assert bench.slept[-1] == RETRY_MAX
    assert any("no network. Next attempt in 15 s." in text for text in bench.said)


async def test_a_model_that_came_otherwise_ends_the_attempts() -> None:
    models = FakeModels(SourceUnavailable("no network."))
    bench = Bench(models)

    async def pulled_by_hand(seconds: float) -> None:
        models.installed = True

    bench.first._sleep = pulled_by_hand
    await bench.first.run()
    assert models.pulls == 1
    assert bench.first.obstacle == ""


async def test_a_lasting_failure_says_why() -> None:
    bench = Bench(FakeModels(InvalidModel("truncated")))
    await bench.first.run()
    assert bench.first.obstacle == f"the default model {NAME} cannot be fetched: truncated"
    assert bench.said[-1] == bench.first.obstacle
    assert bench.models.loaded == []
    bench.arrival.raise_if_coming(NAME)  # no longer on its way: a request gets "not found", not "try again"


async def test_offline() -> None:
    models = FakeModels(SourceUnavailable("models.offline is set"))
    bench = Bench(models, ModelSettings(offline=True))
    await bench.first.run()
    assert "models.offline is set" in bench.first.obstacle
    assert bench.slept == []  # a source that may not be asked will not come back


async def test_a_model_that_does_not_fit() -> None:
    models = FakeModels(installed=True)
    models.refuse = DoesNotFit("needs 2 GB")
    bench = Bench(models)
    await bench.first.run()
    assert bench.said[-1] == f"the default model {NAME} cannot be used: needs 2 GB"
    assert not bench.first.preloading


def test_only_the_model_on_its_way_is_loading() -> None:
    arrival = Arrival()
    arrival.raise_if_coming("")
    assert arrival.coming == ""
    arrival.model, arrival.stage = "a", "downloading"
    assert arrival.coming == "a"
    arrival.raise_if_coming("b")
    with pytest.raises(Loading, match="being fetched") as caught:
        arrival.raise_if_coming("a")
    assert caught.value.detail["retry_after"] > 0


def test_progress_as_a_bar() -> None:
    stream = io.StringIO()
    show = BarProgress(stream)
    for done in (0, 50, 50, 100):
        show(PullProgress(status="downloading", total=100_000_000, completed=done * 1_000_000))
    show(PullProgress(status="success"))
    lines = stream.getvalue().replace("\x1b[K", "").split("\r")
    assert lines[2] == "[###############...............] downloading, 50 % of 100 MB"
    assert lines[3].endswith("100 % of 100 MB\nsuccess\n")
    assert len(lines) == 4


def test_progress_as_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    show = LogProgress()
    for done in range(101):
        show(PullProgress(status="downloading", total=100, completed=done))
    assert len(caplog.records) == 11


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (PullProgress(status="verifying"), "verifying"),
        (PullProgress(status="x", total=0, completed=0), "x"),
        (PullProgress(status="x", total=2_000_000, completed=1_000_000), "x, 50 % of 2 MB"),
    ],
)
def test_describe(progress: PullProgress, text: str) -> None:
    assert describe(progress) == text

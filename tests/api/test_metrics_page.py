from __future__ import annotations

import subprocess
import sys

from fakes.served import Served
from prometheus_client.parser import text_string_to_metric_families


async def scrape(served: Served) -> dict[str, dict[tuple[str, ...], float]]:
    async with served.client.get(served.url + "/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain")
        text = await response.text()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


async def test_everything_counted_is_rendered(served: Served) -> None:
    metrics = served.parts.metrics
    metrics.counter("jobs_total", "Jobs.", ("kind",)).add("a", by=2)
    metrics.gauge("heat", "°C, with a \\ and a\nline.").set(41.5)
    metrics.gauge("live", "Read at scrape time.", ("x",)).source = lambda: {('"',): 3.0}
    histogram = metrics.histogram("took", "Seconds.", (1.0, 2.0))
    for value in (0.5, 1.5, 9.0):
        histogram.observe(value)
    found = await scrape(served)
    assert found["jobs_total"] == {("a",): 2.0}
    assert found["heat"] == {(): 41.5}
    assert found["live"] == {('"',): 3.0}
    assert found["took_bucket"] == {("1.0",): 1.0, ("2.0",): 2.0, ("+Inf",): 3.0}
    assert found["took_sum"] == {(): 11.0}
    assert found["process_open_fds"][()] > 0


async def test_requests_are_counted_by_pattern_not_by_path(served: Served) -> None:
    await served.json("GET", "/v1/models/tiny")
    await served.json("GET", "/v1/models/nope", 404)
    for number in range(3):
        await served.json("GET", f"/nowhere/{number}", 404)
    found = (await scrape(served))["mongarsd_http_requests_total"]
    assert found[("GET", "/v1/models/{id}", "200")] == 1
    assert found[("GET", "/v1/models/{id}", "404")] == 1
    assert found[("other", "none", "404")] == 3


def test_heavy_libraries_wait_until_they_are_used() -> None:
    code = (
        "import sys, mongarsd.api.app, mongarsd.api.front\n"
        "heavy = ('prometheus_client', 'numpy', 'jinja2', 'llama_cpp', 'typer', 'rich', 'psutil')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

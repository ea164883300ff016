"""schemathesis reads /openapi.json and asks for everything in it, rightly and wrongly: no 5xx, and no status, media
type or body that is not in the document."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from fakes.daemon_process import DaemonProcess, running
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

pytestmark = pytest.mark.integration  # 20 s
KEY = "the key of a test"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
#: The same every time.
FIXED = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def opened() -> Iterator[DaemonProcess]:
    """Without a key, as on a machine where nobody made one."""
    with running(state="state") as daemon:
        yield daemon


@pytest.fixture(scope="module")
def closed() -> Iterator[DaemonProcess]:
    known = f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()}"
    with running(state="state", env={"MONGARSD_SERVER_KEY_HASHES": known}) as daemon:
        yield daemon


def test_without_a_key_where_none_is_needed(opened: DaemonProcess) -> None:
    assert 200 in ask_everything(opened, {}, examples=3)


def test_with_a_key(closed: DaemonProcess) -> None:
    assert 200 in ask_everything(closed, {"Authorization": f"Bearer {KEY}"}, examples=2)


def test_without_a_key_where_one_is_needed(closed: DaemonProcess) -> None:
    assert 401 in ask_everything(closed, {}, examples=1)


def ask_everything(daemon: DaemonProcess, headers: dict[str, str], examples: int) -> set[int]:
    """So many of each operation and mode. The statuses that were answered."""
    host, port = daemon.ports[0]
    _, document = daemon.get("/openapi.json", Authorization=f"Bearer {KEY}")
    schema = schemathesis.openapi.from_dict(document)
    statuses: set[int] = set()
    wrong: list[str] = []
    with requests.Session() as session:
        session.headers.update(headers)
        for found, mode in itertools.product(schema.get_all_operations(), GenerationMode):
            operation = found.ok()
            if mode is GenerationMode.NEGATIVE and not operation.body:
                continue  # any text is a path

            @given(operation.as_strategy(generation_mode=mode))
            @settings(FIXED, max_examples=examples)
            def ask(case: Any) -> None:
                response = case.call(base_url=f"http://{host}:{port}", session=session)
                statuses.add(response.status_code)
                try:
                    case.validate_response(response, checks=CHECKS)
                except schemathesis.core.failures.FailureGroup as failures:
                    wrong.extend(f"{case.method} {case.formatted_path}: {one}" for one in failures.exceptions)

            ask()
    assert not wrong, "\n\n".join(wrong[:20])
    return statuses

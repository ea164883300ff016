from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from fakes.served import Served, fake_parts

import mongarsd.api
from mongarsd.api.anthropic.models import MOST as MODELS
from mongarsd.api.app import ADMIN, PUBLIC, make_admin_app
from mongarsd.api.keys import MOST_ACTIONS
from mongarsd.api.openai.files import Purpose
from mongarsd.api.openai.requests import ChatRequest
from mongarsd.api.openai.responses.conversations import MAX_QUERY as CONVERSATIONS
from mongarsd.api.openapi import document
from mongarsd.api.queries import FORMS, QUERIES, REQUIRED
from mongarsd.api.recall import MAX_QUERY

DOCUMENT = document((*PUBLIC, *ADMIN), "1.2.3")


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def test_every_reference_leads_somewhere() -> None:
    references = {node["$ref"] for node in nodes(DOCUMENT) if "$ref" in node}
    assert references
    for reference in references:
        kind, _, name = reference.removeprefix("#/components/").partition("/")
        assert name in DOCUMENT["components"][kind]


def test_the_structure_is_openapi() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    assert DOCUMENT["info"]["title"]
    assert DOCUMENT["info"]["version"] == "1.2.3"
    operations = [operation for path in DOCUMENT["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            assert method in ("get", "post", "patch", "delete")
            assert all(response.keys() & {"description", "$ref"} for response in operation["responses"].values())
            parameters = operation.get("parameters", [])
            assert len({parameter["name"] for parameter in parameters}) == len(parameters)
            named = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}
    json.dumps(DOCUMENT)


def test_it_says_what_is_validated() -> None:
    properties = DOCUMENT["components"]["schemas"]["ChatRequest"]["properties"]
    assert set(properties) == set(ChatRequest.__struct_fields__)
    assert {"type": "number", "minimum": 0.0, "maximum": 10.0} in properties["temperature"]["anyOf"]
    assert DOCUMENT["components"]["schemas"]["ChatRequest"]["required"] == ["messages"]


def test_every_query_that_is_described_belongs_to_a_route() -> None:
    assert QUERIES.keys() <= {route.path for route in (*PUBLIC, *ADMIN) if route.method == "GET"}
    assert FORMS.keys() <= {route.path for route in (*PUBLIC, *ADMIN) if route.method == "POST" and not route.body}
    assert all(name in QUERIES[path] for path, name in REQUIRED)
    assert QUERIES["/admin/audit"]["limit"]["maximum"] == MOST_ACTIONS
    assert QUERIES["/v1/memory/search"]["q"]["maxLength"] == MAX_QUERY == CONVERSATIONS
    assert QUERIES["/v1/files"]["purpose"]["enum"] == list(get_args(Purpose))
    assert QUERIES["/v1/models"]["limit"]["maximum"] == MODELS


def test_every_word_that_a_handler_reads_of_the_query_is_described() -> None:
    read = {
        match[1]
        for file in Path(mongarsd.api.__file__).parent.rglob("*.py")
        for match in re.finditer(r"query\.get(?:all)?\(\"(\w+)\"", file.read_text(encoding="utf-8"))
    }
    assert {"limit", "q", "ticket"} <= read
    assert read <= {name for query in QUERIES.values() for name in query}


def test_it_names_every_route_of_the_router() -> None:
    app = make_admin_app(fake_parts())
    served = {resource.canonical for resource in app.router.resources()}
    assert served == set(DOCUMENT["paths"])


async def test_only_administration_always_needs_a_key(served: Served) -> None:
    paths = (await served.json("GET", "/openapi.json"))["paths"]
    assert {} in paths["/v1/chat/completions"]["post"]["security"]
    assert "security" not in paths["/healthz"]["get"]
    for path, methods in paths.items():
        for operation in methods.values():
            assert path.startswith("/admin/") == (operation.get("security") == [{"bearer": []}, {"header": []}])

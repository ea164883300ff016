from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fakes.served import Served, fake_parts

from mongarsd.api.app import ADMIN, PUBLIC, make_admin_app
from mongarsd.api.openai.requests import ChatRequest
from mongarsd.api.openapi import document

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
            named = {parameter["name"] for parameter in operation.get("parameters", [])}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}
    json.dumps(DOCUMENT)


def test_it_says_what_is_validated() -> None:
    properties = DOCUMENT["components"]["schemas"]["ChatRequest"]["properties"]
    assert set(properties) == set(ChatRequest.__struct_fields__)
    assert {"type": "number", "minimum": 0.0, "maximum": 10.0} in properties["temperature"]["anyOf"]
    assert DOCUMENT["components"]["schemas"]["ChatRequest"]["required"] == ["messages"]


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

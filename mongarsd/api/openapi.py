"""GET /openapi.json: made from the table of routes and the types that validate, so it cannot say anything else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from mongarsd.api.anthropic.answers import AnthropicError
from mongarsd.api.errors import ANTHROPIC, OLLAMA
from mongarsd.api.ollama.answers import OllamaError
from mongarsd.api.openai.answers import ErrorBody
from mongarsd.api.parts import PARTS
from mongarsd.api.queries import FORMS, QUERIES, REQUIRED
from mongarsd.memory.access.types import Scope

_REF = "#/components/schemas/{name}"
_ERROR = "#/components/responses/{name}"
_PARAMETER = re.compile(r"\{(\w+)(?::[^{}]+)?\}")


class Route(NamedTuple):
    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str  # in aiohttp's notation
    handler: Handler
    summary: str
    body: Any = None  # the type of the request
    answer: Any = None  # the type of the answer, or a tuple of those it may have; None = no JSON
    #: Media types besides JSON, and what they hold.
    streams: dict[str, Any] = {}  # noqa: RUF012  # a NamedTuple's default, never changed
    open: bool = False  # needs no key
    scope: Scope = Scope.CHAT  # what a key must allow
    upgrade: bool = False  # to a WebSocket, which is then spoken as docs/api.md says
    owner: bool = False  # whatever the scope, this machine may while there is no key


#: The shapes of errors: see `_error_body`.
_ERRORS: list[Any] = [ErrorBody, OllamaError, AnthropicError]

ROUTES: web.AppKey[Sequence[Route]] = web.AppKey("routes", Sequence)


async def openapi(request: web.Request) -> web.Response:
    body = msgspec.json.encode(document(request.app[ROUTES], request.app[PARTS].version))
    return web.Response(body=body, content_type="application/json")


def document(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """OpenAPI 3.1 as builtin types."""
    kinds = [kind for route in routes for kind in (route.body, *_answers(route), *route.streams.values()) if kind]
    kinds += _ERRORS
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    schema_of = {repr(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(_PARAMETER.sub(r"{\1}", route.path), {})[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "mongarsd", "version": version, "license": {"name": "MIT", "identifier": "MIT"}},
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {
                kind.__name__: {
                    "description": "What went wrong, and what to do",
                    "content": {"application/json": {"schema": schema_of[repr(kind)]}},
                }
                for kind in _ERRORS
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _operation(route: Route, schema_of: dict[str, Any]) -> dict[str, Any]:
    content = {media: {"schema": schema_of[repr(kind)]} if kind else {} for media, kind in route.streams.items()}
    if answers := [schema_of[repr(kind)] for kind in _answers(route)]:
        content = {"application/json": {"schema": answers[0] if len(answers) == 1 else {"anyOf": answers}}, **content}
    error = {"$ref": _ERROR.format(name=_error_body(route).__name__)}
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": route.handler.__name__ + ("_admin" if route.path.startswith("/admin") else ""),
        "responses": {
            _success(route, bool(content)): {"description": "Done", **({"content": content} if content else {})},
            **{str(status): error for status in sorted(_statuses(route))},
        },
    }
    if parameters := [*_parameters(route)]:
        operation["parameters"] = parameters
    if route.body or (form := _of(FORMS, route, "POST")):
        media = {"application/json": schema_of[repr(route.body)]} if route.body else {"multipart/form-data": form}
        operation["requestBody"] = {
            "required": True,
            "content": {kind: {"schema": schema} for kind, schema in media.items()},
        }
    if not route.open:
        keyless = route.owner or route.scope is not Scope.ADMIN  # on loopback, while there are no keys
        operation["security"] = [*([{}] if keyless else []), {"bearer": []}, {"header": []}]
    return operation


def _parameters(route: Route) -> Iterator[dict[str, Any]]:
    for match in _PARAMETER.finditer(route.path):
        yield {"name": match[1], "in": "path", "required": True, "schema": {"type": "string"}}
    for name, schema in _of(QUERIES, route, "GET").items():
        # metadata[name]=value
        style = {"style": "deepObject", "explode": True} if schema.get("type") == "object" else {}
        yield {"name": name, "in": "query", "required": (route.path, name) in REQUIRED, "schema": schema, **style}


def _of(table: Mapping[str, Mapping[str, Any]], route: Route, method: str) -> Mapping[str, Any]:
    return table.get(route.path, {}) if route.method == method else {}


def _success(route: Route, content: bool) -> str:
    if route.upgrade:
        return "101"
    return "200" if content else "204"


def _statuses(route: Route) -> set[int]:
    """Of the errors that a route of its kind may answer with: see api/errors.py and api/guard.py for when."""
    statuses = {400, 403, 421, 500, 503}
    if not route.open:
        statuses |= {401, 507}  # the account, and what is stored of it
    if route.upgrade:
        statuses |= {401, 426}  # the ticket
    if "{" in route.path:
        statuses |= {404, 409, 422}
    if "after" in _of(QUERIES, route, "GET"):
        statuses |= {404}  # what the page should begin behind
    if route.scope is Scope.ADMIN:
        statuses |= {404}  # an account, named in the query
    if route.method in ("POST", "PATCH") or route.body:
        # a body, which may carry a password, and mostly a job or a source
        statuses |= {401, 404, 408, 409, 413, 415, 417, 422, 429, 502, 504}
    return statuses


def _answers(route: Route) -> tuple[Any, ...]:
    if isinstance(route.answer, tuple):
        return route.answer
    return (route.answer,) if route.answer else ()


def _error_body(route: Route) -> Any:
    if route.path.startswith(OLLAMA):
        return OllamaError
    return AnthropicError if route.path.startswith(ANTHROPIC) else ErrorBody

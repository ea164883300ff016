"""Who may talk to us at all: the Host a browser believes it talks to, the Origin of the page, the kind of body.

Host: DNS rebinding makes a stranger's page talk to a board in the house; its Host header is the stranger's name.
Allowed are the address the connection came to, localhost, this machine's name (also .local) and `server.allowed_hosts`.
Origin: only pages served by this very server and those of `server.allowed_origins`; never `*`.
Decisions use the header and the path exactly as they were sent.
"""

from __future__ import annotations

import re

from aiohttp import web

from mongarsd.api import reuse
from mongarsd.api.credentials import rate_headers
from mongarsd.api.errors import Handler
from mongarsd.api.openai.keeping import CONVERSATION, STORED
from mongarsd.api.parts import PARTS, Parts
from mongarsd.ground.errors import BadRequest, Forbidden

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}))(?::(?P<port>[0-9]{1,5}))?")
_TARGET = re.compile(r"/[\x21-\x7e]*")
#: Posts that are forms, by their exact raw path.
FORMS = frozenset({"/v1/files"})
#: The types that pages may send to another origin without asking first.
_OF_PAGES = frozenset({"text/plain", "application/x-www-form-urlencoded", "multipart/form-data"})
_LOCAL = ("localhost", "127.0.0.1", "[::1]")
#: What a page of an allowed origin may send.
_CORS_METHODS = "GET, POST, PATCH, DELETE, OPTIONS"
#: The names that a page asks for. All are granted: whoever trusts the page wants its library to work, and a list of
#: names ends at the library's next one (ollama#4388, #6910, #8342 and #9801 are one name each).
_CORS_HEADERS = re.compile(r"[\w!#$%&'*+.^`|~, -]{1,4096}", re.ASCII)
_CORS_EXPOSE = ", ".join(
    (
        *("Retry-After", "Retry-After-Ms", "X-Should-Retry", reuse.HEADER),
        *("X-RateLimit-Limit-Requests", "X-RateLimit-Remaining-Requests", "X-RateLimit-Reset-Requests"),
        *("X-RateLimit-Limit-Tokens", "X-RateLimit-Remaining-Tokens", "X-RateLimit-Reset-Tokens"),
        *(CONVERSATION, STORED),
    )
)
_CORS_MAX_AGE = "600"  # seconds


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """For TCP ports. Raises BadRequest, Forbidden, or aiohttp's 415 and 421."""
    parts = request.app[PARTS]
    check_target(request.raw_path)
    host = check_host(request.headers.getall("Host", []), allowed_hosts(parts, _local_address(request)))
    origins = request.headers.getall("Origin", [])
    if origins:
        check_origin(origins, host, parts.settings.server.allowed_origins)
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return web.Response(status=204)  # `add_headers` says what is allowed
    if request.method in ("POST", "PUT", "PATCH"):
        check_content_type(request)
    return await handler(request)


@web.middleware
async def control_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """For the control socket: no browser reaches it, its file mode is the permission."""
    check_target(request.raw_path)
    if request.method in ("POST", "PUT", "PATCH") and request.body_exists:
        check_content_type(request)
    return await handler(request)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Last before a header goes out. The guard has let the origin pass, or the answer is a refusal that names none."""
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers["Server"] = "mongarsd"
    response.headers.update(rate_headers(request))
    response.headers.update(reuse.headers(request))
    origin = request.headers.get("Origin")
    if origin is None:
        return
    response.headers["Vary"] = "Origin, Access-Control-Request-Headers" if request.method == "OPTIONS" else "Origin"
    if origin in request.app[PARTS].settings.server.allowed_origins:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _CORS_EXPOSE
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = _CORS_METHODS
            asked = request.headers.get("Access-Control-Request-Headers", "")
            if _CORS_HEADERS.fullmatch(asked):
                response.headers["Access-Control-Allow-Headers"] = asked
            response.headers["Access-Control-Max-Age"] = _CORS_MAX_AGE


def check_target(raw: str) -> None:
    """Only `/path`: an absolute target would make the host of the URL and of the header two things."""
    if not _TARGET.fullmatch(raw):
        raise BadRequest("the request target must be a path that begins with /")


def check_host(headers: list[str], allowed: frozenset[str]) -> str:
    """The one Host header, if it is in order and allowed."""
    if len(headers) != 1 or not (match := _HOST.fullmatch(headers[0])):
        raise BadRequest("there must be one Host header, and it must be a name or address with an optional port")
    name = match["name"].lower().removesuffix(".")
    if name not in allowed:
        raise web.HTTPMisdirectedRequest(
            text=f"this server does not go by the name {name}; add it to server.allowed_hosts if it should"
        )
    return headers[0].lower()


def check_origin(headers: list[str], host: str, allowed: tuple[str, ...]) -> None:
    """A page of our own (`http` directly, `https` behind a proxy), or one of the allowed. Raises Forbidden."""
    if len(headers) == 1 and (headers[0] in allowed or headers[0].lower() in (f"http://{host}", f"https://{host}")):
        return
    raise Forbidden("pages of this origin may not use this server; add it to server.allowed_origins if they should")


def check_content_type(request: web.Request) -> None:
    """JSON: a page can post any other type across origins without asking first. Where a form is taken, or nothing was
    sent, it is the Origin that keeps strangers' pages out: browsers send it with every POST. Of pages only scripts can
    send nothing at all, for a form says what it is even when it is empty."""
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    form = takes_form(request)
    if not (request.body_exists or form or kind in _OF_PAGES):
        return
    wanted = "multipart/form-data" if form else "application/json"
    if kind != wanted:
        raise web.HTTPUnsupportedMediaType(text=f"send the header Content-Type: {wanted}")


def takes_form(request: web.Request) -> bool:
    return request.method == "POST" and request.raw_path.partition("?")[0] in FORMS


def allowed_hosts(parts: Parts, local_address: str) -> frozenset[str]:
    """Lower-case names and addresses, IPv6 in brackets."""
    name = parts.hostname.lower().removesuffix(".local")
    named = (host.lower() for host in parts.settings.server.allowed_hosts)
    return frozenset((*_LOCAL, local_address, name, f"{name}.local", *named))


def _local_address(request: web.Request) -> str:
    where = request.transport.get_extra_info("sockname") if request.transport else None
    if not isinstance(where, tuple):
        return ""
    address = str(where[0]).partition("%")[0].removeprefix("::ffff:")
    return f"[{address}]" if ":" in address else address

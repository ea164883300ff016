"""Requests to the hub: redirects followed by hand, each hop checked, the token sent to the hub alone."""

from __future__ import annotations

import functools
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from mongarsd.ground.errors import MongarsError, NotFound, SourceUnavailable
from mongarsd.inference.models.sources.hub import Hub
from mongarsd.inference.models.sources.origin import CheckedResolver, ForbiddenHop, Policy

REDIRECTS = frozenset({301, 302, 303, 307, 308})
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
MAX_HOPS = 5
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=60)  # seconds
WHAT_IS_MISSING = {"RepoNotFound": "repository", "RevisionNotFound": "revision", "EntryNotFound": "file"}


class TryAgain(Exception):
    """A fault that may pass: a broken connection, 429, 5xx, an expired link."""


@asynccontextmanager
async def request(
    hub: Hub, method: str, path: str, headers: Mapping[str, str], repo: str
) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer with status 200, 206, 416, or a redirect that states X-Linked-Etag (HEAD only).

    Raises NotFound, SourceUnavailable; TryAgain and aiohttp.ClientError for what may pass.
    """
    policy = Policy(hub.endpoint)
    policy.check_endpoint()
    url = URL(f"{hub.endpoint}{path}", encoded=True)
    resolver = CheckedResolver(lambda host, address: _is_proxy(hub, url, host) or policy.address_allowed(host, address))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, ssl=_certificates()),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=TIMEOUT,
        auto_decompress=False,
    ) as session:
        for _ in range(MAX_HOPS):
            policy.check(url)
            sent = {**headers, "Accept-Encoding": "identity", "User-Agent": "mongarsd"}
            if hub.token and policy.may_have_token(url):
                sent["Authorization"] = f"Bearer {hub.token}"
            async with session.request(
                method, url, headers=sent, allow_redirects=False, proxy=hub.proxy(url)
            ) as answer:
                target = _target(url, answer)
                if target is None or (method == "HEAD" and "X-Linked-Etag" in answer.headers):
                    _raise_for_status(answer, hub, repo, from_hub=policy.may_have_token(url))
                    yield answer
                    return
                url = target
    raise SourceUnavailable(f"The hub redirected {MAX_HOPS} times in a row; HF_ENDPOINT may be wrong.")


def _target(url: URL, answer: aiohttp.ClientResponse) -> URL | None:
    """Where a redirect leads; signed links must not be quoted anew."""
    if answer.status not in REDIRECTS or not (location := answer.headers.get("Location")):
        return None
    try:
        return url.join(URL(location, encoded=True))
    except ValueError:
        raise ForbiddenHop("A redirect to something that is no URL is not followed.") from None


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Of the authorities this system trusts: read at the first download, because they take 2 MB."""
    return ssl.create_default_context()


def _is_proxy(hub: Hub, url: URL, host: str) -> bool:
    proxy = hub.proxy(url)
    return proxy is not None and proxy.host == host


def _raise_for_status(answer: aiohttp.ClientResponse, hub: Hub, repo: str, *, from_hub: bool) -> None:
    status = answer.status
    if status in (200, 206, 416) or status in REDIRECTS:
        return
    if status in PASSING or not from_hub:  # a content network answers 403 to an expired link
        raise TryAgain(f"HTTP {status}")
    raise _explain(status, answer.headers.get("X-Error-Code", ""), f"{hub.endpoint}/{repo}", repo, bool(hub.token))


def _explain(status: int, code: str, page: str, repo: str, has_token: bool) -> MongarsError:
    if code == "GatedRepo" or (status == 403 and has_token):
        return SourceUnavailable(
            f"{repo} is gated: accept its licence at {page} with your account, then set HF_TOKEN to a token of it.",
            param="ref",
        )
    if status in (401, 403):
        hint = "HF_TOKEN is not valid for it" if has_token else "set HF_TOKEN if it is yours"
        return SourceUnavailable(f"{repo} does not exist on the hub, or is private: {hint}.", param="ref")
    if status == 404:
        what = WHAT_IS_MISSING.get(code, "file")
        return NotFound(f"The hub has no such {what}: look at {page} for the right name.", param="ref")
    return SourceUnavailable(f"The hub answered HTTP {status} for {repo}.")

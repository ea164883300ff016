"""GET /: a page for who opens the address in a browser, and for programs the words by which they know Ollama."""

from __future__ import annotations

import base64
import hashlib

from aiohttp import web

_STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { max-width: 40rem; margin: 12vh auto; padding: 0 1rem }
pre { padding: .75rem; border: 1px solid; border-radius: .4rem; overflow-x: auto }
"""
_PAGE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>mongarsd</title>
<style>{_STYLE}</style>
<h1>mongarsd is running</h1>
<p>This machine answers chat requests, and keeps them to itself.
Point any OpenAI client at this address followed by <code>/v1</code>, or try it in a terminal:</p>
<pre>mongarsctl chat</pre>
<pre>curl http://127.0.0.1:8420/v1/chat/completions -H 'Content-Type: application/json' \\
  -d '{{"messages": [{{"role": "user", "content": "Hello"}}]}}'</pre>
<p><a href="/v1/models">Models</a> · <a href="/readyz">Is it ready?</a> · <a href="/metrics">Metrics</a> ·
<a href="/openapi.json">The API in full</a></p>
</html>
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",
}


#: Ollama's clients ask for nothing in particular, and some compare the answer with this; every browser asks for HTML.
RUNNING = "Ollama is running"


async def greeting(request: web.Request) -> web.Response:
    if "text/html" not in request.headers.get("Accept", "").lower():
        return web.Response(text=RUNNING, headers={"Vary": "Accept"})
    return web.Response(text=_PAGE, content_type="text/html", headers=_HEADERS)

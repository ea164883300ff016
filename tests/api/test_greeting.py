from __future__ import annotations

from fakes.served import Served


async def test_the_page_needs_nothing_from_elsewhere(served: Served) -> None:
    async with served.client.get(served.url + "/", headers={"Accept": "text/html,*/*;q=0.8"}) as response:
        page = await response.text()
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "mongarsd is running" in page
    assert "src=" not in page
    assert "https:" not in page

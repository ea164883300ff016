from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongarsd.api.tokens import LEEWAY, Claim, sign, verify

SECRET, NOW = b"s" * 32, 1_700_000_000.0
CLAIM = Claim("ana", "ab12")
GOOD = {"sub": "ana", "aud": "mongarsd", "iat": int(NOW), "exp": int(NOW) + 60, "stamp": "ab12"}


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


async def test_it_lives_for_its_time() -> None:
    text = await sign(CLAIM, SECRET, NOW, 60.0)
    for now, lives in ((NOW, True), (NOW + 59, True), (NOW + 60 + LEEWAY, False), (NOW - LEEWAY - 1, False)):
        assert await verify(text, SECRET, now) == (CLAIM if lives else None)
    assert await verify(text, b"t" * 32, NOW) is None
    assert await verify(text, b"", NOW) is None
    assert "ab12" not in text


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS384", "RS256", "", None, 1, ["HS256"]])
async def test_no_other_algorithm(algorithm: Any) -> None:
    signature = (await sign(CLAIM, SECRET, NOW, 60.0)).rpartition(".")[2]
    for end in ("", signature):
        assert await verify(f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(GOOD)}.{end}", SECRET, NOW) is None


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_ours_signed_otherwise(algorithm: str) -> None:
    assert await verify(jwt.encode(GOOD, SECRET, algorithm), SECRET, NOW) is None


@pytest.mark.parametrize(
    "change",
    [
        *({name: None} for name in GOOD),
        {"aud": "other"},
        {"exp": "9999999999"},
        {"exp": 1e400},
        {"exp": True},
        {"iat": True},
        {"iat": int(NOW) + 3600},
        {"sub": 1},
        {"stamp": 1},
    ],
    ids=str,
)
async def test_claims(change: dict[str, Any]) -> None:
    claims = {name: value for name, value in (GOOD | change).items() if value is not None}
    assert await verify(jwt.encode(GOOD, SECRET, "HS256"), SECRET, NOW) == CLAIM
    assert await verify(jwt.encode(claims, SECRET, "HS256"), SECRET, NOW) is None


@given(st.text(max_size=80) | st.from_regex(r"[\w-]{1,20}\.[\w-]{1,20}\.[\w-]{0,20}", fullmatch=True))
@settings(deadline=None)
async def test_anything_else_is_nothing(text: str) -> None:
    assert await verify(text, SECRET, NOW) is None


@given(st.data())
@settings(deadline=None)
async def test_one_changed_letter_spoils_it(data: st.DataObject) -> None:
    text = await sign(CLAIM, SECRET, NOW, 60.0)
    place = data.draw(st.integers(0, len(text) - 2))  # of the last letter only four bits count
    letter = data.draw(st.sampled_from("AZaz09-_.").filter(lambda one: one != text[place]))
    assert await verify(text[:place] + letter + text[place + 1 :], SECRET, NOW) is None

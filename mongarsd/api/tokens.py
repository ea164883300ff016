"""Short-lived tokens for users: JWT, HS256 and nothing else."""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Any, NamedTuple

ALGORITHM = "HS256"
AUDIENCE = "mongarsd"
#: Seconds two clocks may differ: the same node signs and checks, so only its own clock's corrections count.
LEEWAY = 5.0
#: Characters; ours have about 230.
LONGEST = 1024

#: What is not of this form is no token; a key of ours has no dot.
_FORM = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_CLAIMS = ["sub", "aud", "iat", "exp", "stamp"]


class Claim(NamedTuple):
    user: str
    stamp: str  # of the password it was given for


def looks_like_one(text: str) -> bool:
    return len(text) <= LONGEST and _FORM.fullmatch(text) is not None


async def sign(claim: Claim, secret: bytes, now: float, lifetime: float) -> str:
    """`now`: seconds since the epoch."""
    await _ready()
    import jwt

    payload = {
        "sub": claim.user,
        "aud": AUDIENCE,
        "iat": int(now),
        "exp": int(now + lifetime),
        "stamp": claim.stamp,
    }
    return jwt.encode(payload, secret, ALGORITHM)


async def verify(text: str, secret: bytes, now: float) -> Claim | None:
    """None for whatever is not a token of ours that lives now."""
    if not secret or not looks_like_one(text):
        return None
    await _ready()
    import jwt

    try:
        # The times are checked here, against the clock that is passed in.
        options: Any = {"require": _CLAIMS, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
        claims = jwt.decode(text, secret, algorithms=[ALGORITHM], audience=AUDIENCE, options=options)
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        return None
    begin, end, user, stamp = (claims[name] for name in ("iat", "exp", "sub", "stamp"))
    if type(begin) is not int or type(end) is not int or not isinstance(user, str) or not isinstance(stamp, str):
        return None
    if not begin - LEEWAY <= now < end + LEEWAY:
        return None
    return Claim(user, stamp)


async def _ready() -> None:
    """PyJWT is 9 MB and 60 ms (0.3 s on a Pi): loaded at the first token, and beside the event loop."""
    if "jwt" not in sys.modules:
        await asyncio.to_thread(__import__, "jwt")

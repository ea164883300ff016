"""Where a page ended, as a word that means nothing to a client."""

from __future__ import annotations

import base64
import struct

from mongarsd.ground.errors import BadRequest

_FORM = struct.Struct(">dq")


def write(updated: float, number: int) -> str:
    return base64.urlsafe_b64encode(_FORM.pack(updated, number)).decode().rstrip("=")


def read(cursor: str) -> tuple[float, int]:
    """Raises BadRequest."""
    try:
        updated, number = _FORM.unpack(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=="))
    except (ValueError, struct.error) as error:
        raise BadRequest("after: not a cursor that this server gave out", param="after") from error
    return updated, number

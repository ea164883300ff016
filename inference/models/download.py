"""One download, the pulls that follow it, and the blobs that stay for them until each has written its manifest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from mongarsd.inference.models.catalogue import Origin
from mongarsd.inference.models.manifest import Blob
from mongarsd.inference.models.shared import Shared

#: Digests -> whether all of these blobs are there; from now on none is removed while the download lasts.
Hold = Callable[..., Awaitable[bool]]


@dataclass(eq=False)
class Download:
    origins: tuple[Origin, ...]
    shared: Shared[Blob]
    held: set[str] = field(default_factory=set)  # digests
    pulls: int = 0  # that have neither written their manifest nor left

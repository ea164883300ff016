"""One root, one class a remedy. `mongarsd.api.errors` maps the classes to HTTP, nothing else does."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct


class ErrorInfo(Struct, frozen=True, omit_defaults=True):
    """An error as it crosses a pipe or the mesh."""

    code: str
    message: str
    param: str | None = None
    detail: dict[str, Any] = {}


class MongarsError(Exception):
    """The message says what happened and what to do. `param` names the field, `detail` carries the numbers."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, **detail: Any) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.detail = detail

    def info(self) -> ErrorInfo:
        return ErrorInfo(self.code, self.message, self.param, self.detail)


class BadRequest(MongarsError):
    """Correct the request; `param` names the field."""

    code = "invalid_request"


class ContextOverflow(BadRequest):
    """Shorten the prompt or max_tokens; detail: prompt, limit (tokens)."""

    code = "context_length_exceeded"


class Unauthorized(MongarsError):
    """Send a valid key."""

    code = "invalid_api_key"


class Forbidden(MongarsError):
    """This key, host or origin may not do that."""

    code = "forbidden"


class NotFound(MongarsError):
    """Name something that exists."""

    code = "not_found"


class ModelNotFound(NotFound):
    """Pull the model, or name one of those in the list."""

    code = "model_not_found"


class TooLarge(MongarsError):
    """Send less."""

    code = "request_too_large"


class Conflict(MongarsError):
    """Something else is in the way; end it first."""

    code = "conflict"


class Busy(MongarsError):
    """Try again; detail: retry_after (seconds), position, estimate (seconds)."""

    code = "busy"

    @property
    def retry_after(self) -> float | None:
        """Seconds; None = it was not said."""
        seconds = self.detail.get("retry_after")
        return float(seconds) if isinstance(seconds, (int, float)) else None


class RateLimited(Busy):
    """The account, or somebody who guesses passwords, asks for too much; try again; detail: retry_after (seconds)."""

    code = "rate_limit_exceeded"


class Loading(Busy):
    """The model is being loaded; try again; detail: retry_after."""

    code = "loading"


class DeadlineExceeded(MongarsError):
    """Allow more time."""

    code = "deadline_exceeded"


class InvalidModel(MongarsError):
    """The file is damaged, hostile or of an unsupported kind: get it again or choose another."""

    code = "invalid_model"


class DoesNotFit(MongarsError):
    """Too little memory: choose a smaller model or context; detail: need, have (bytes)."""

    code = "does_not_fit"


class DiskFull(MongarsError):
    """Free some space; detail: need, have (bytes)."""

    code = "disk_full"


class StorageUnavailable(MongarsError):
    """The database cannot be used now: see `mongarsctl status`; what was asked for was not stored."""

    code = "storage_unavailable"


class StorageFull(StorageUnavailable):
    """No space for the database: free some, then it stores again by itself."""

    code = "storage_full"


class DatabaseRefused(StorageUnavailable):
    """The file is not for this version or not ours: move it away, or install the version that made it."""

    code = "database_refused"


class DatabaseDamaged(StorageUnavailable):
    """The file is corrupt: it is put aside at the next start, and the newest good backup takes over."""

    code = "database_damaged"


class SourceUnavailable(MongarsError):
    """The hub, index or network did not answer: check the connection, try again."""

    code = "source_unavailable"


class VerificationFailed(MongarsError):
    """The bytes are not the expected ones: they were thrown away."""

    code = "verification_failed"


class WorkerCrashed(MongarsError):
    """The job was running in two crashes and is not tried again."""

    code = "worker_crashed"


class SettingsError(MongarsError):
    """Correct the named settings; the message has a line for each."""

    code = "invalid_settings"


class StartError(MongarsError):
    """The daemon cannot start: port in use, directory unwritable, …"""

    code = "cannot_start"


def _classes(root: type[MongarsError]) -> dict[str, type[MongarsError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found.update(_classes(child))
    return found


_BY_CODE = _classes(MongarsError)


def from_info(info: ErrorInfo) -> MongarsError:
    """The exception that `info` describes; an unknown code gives the root class."""
    return _BY_CODE.get(info.code, MongarsError)(info.message, param=info.param, **info.detail)

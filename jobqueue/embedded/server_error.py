"""The one error of this package: an embedded server or one of its processes could not be brought up."""

from __future__ import annotations

from typing import ClassVar

from jobqueue.errors import JobQueueError


class EmbeddedServerError(JobQueueError):
    """A server or process could not be started; the message says why and what to do about it."""

    default_code: ClassVar[str] = "EMBEDDED_SERVER_FAILED"

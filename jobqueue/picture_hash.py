"""Giving every submission the hash of its picture, which is what makes it idempotent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from jobqueue.errors import JobQueueError
from jobqueue.fetch import compute_sha256_from_url
from jobqueue.settings import Settings
from jobqueue.submission import Submission

T = TypeVar("T")

FETCHES_AT_ONCE = 8


def with_hash(wanted: Submission, settings: Settings) -> Submission:
    """The submission with its picture's hash, which is fetched unless the caller gave it.

    Raises ``ImageRejectedError``.
    """
    if wanted.image_hash is not None:
        return wanted
    return replace(wanted, image_hash=compute_sha256_from_url(wanted.image_url, settings=settings))


def with_hashes(
    entries: Iterable[T], checked: Callable[[T], Submission], settings: Settings
) -> list[Submission | JobQueueError]:
    """For each entry its submission, or the error that refused it, in order.

    Pictures are fetched side by side, because each may take seconds.
    """

    def prepare(entry: T) -> Submission | JobQueueError:
        try:
            return with_hash(checked(entry), settings)
        except JobQueueError as error:
            return error

    with ThreadPoolExecutor(FETCHES_AT_ONCE, thread_name_prefix="submit-jobs") as pool:
        return list(pool.map(prepare, entries))

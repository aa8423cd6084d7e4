"""The two calls of this package: a checked picture, and its fingerprint."""

from __future__ import annotations

import hashlib

from jobqueue.errors import ImageRejectedError
from jobqueue.extraction import ImageInput, TransientExtractionError
from jobqueue.fetch.download import download
from jobqueue.fetch.picture_check import check_picture
from jobqueue.settings import Settings, load_settings


def fetch_image(url: str, settings: Settings) -> ImageInput:
    """Download the picture at ``url`` and check it: a whole JPEG, PNG or WebP within the size limits.

    The limits are ``fetch_timeout`` (seconds, for everything up to the last byte), ``max_image_bytes`` and
    ``max_image_pixels``; hosts in ``private_image_hosts`` need not be public. Messages never repeat the address.

    Raises ``ImageRejectedError`` with the reason in words and as ``details["reason"]``, and
    ``TransientExtractionError`` with code ``IMAGE_UNAVAILABLE`` where trying again later may help.
    """
    data = download(url, settings)
    picture = check_picture(data, settings.max_image_pixels)
    return ImageInput(
        data=data,
        media_type=picture.media_type,
        sha256=hashlib.sha256(data).hexdigest(),
        url=url,
        width=picture.width,
        height=picture.height,
    )


def compute_sha256_from_url(url: str, *, settings: Settings | None = None) -> str:
    """The SHA-256 of the picture at ``url`` in hexadecimal, downloaded and checked as by ``fetch_image``.

    Raises ``ImageRejectedError``; where trying again later may help its details hold ``reason="unavailable"``,
    ``retryable=True`` and ``retry_after`` (seconds, or None). Without ``settings`` they are read from the
    environment, and a wrong one raises ``InvalidInputError``.
    """
    try:
        return fetch_image(url, settings or load_settings()).sha256
    except TransientExtractionError as error:
        raise ImageRejectedError(
            f"{error.message} Try again later.", reason="unavailable", retryable=True, retry_after=error.retry_after
        ) from None

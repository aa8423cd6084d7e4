"""Checking that bytes are a whole picture of a known format, small enough to be decoded."""

from __future__ import annotations

import io
import struct
import threading
import zlib
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from jobqueue.errors import ImageRejectedError
from jobqueue.fetch.file_kind import file_kind
from jobqueue.fetch.jpeg_scans import count_jpeg_scans
from jobqueue.fetch.picture_parts import count_parts

_FORMATS = ("JPEG", "PNG", "WEBP")
# MPO is what Pillow calls a JPEG with a second picture behind the first, as many phones write.
_MEDIA_TYPES = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
# Encoders write about ten. A file of 20 MB can hold 200,000, hours of work for a picture of 50 megapixels.
_MAX_JPEG_SCANS = 100
# Encoders that cut a PNG into the smallest chunks need 2,500 for 20 MB.
_MAX_PARTS = 10_000
# A decoded picture takes up to four bytes a pixel; a process of many threads must not hold one for each at once.
_decoding = threading.BoundedSemaphore(4)
# What Pillow's parsers raise on damaged data. Not `Exception`: a worker's time limit arrives as one, too.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class CheckedPicture:
    """Media type by content, size in pixels as stored (before any EXIF rotation)."""

    media_type: str
    width: int
    height: int


def check_picture(data: bytes, max_pixels: int) -> CheckedPicture:
    """Check the size ``data`` claims, then decode it in full; raises ``ImageRejectedError`` with what is wrong."""
    if count_parts(data, _MAX_PARTS) > _MAX_PARTS:
        raise _too_many_parts()
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _check_cost(data, image, max_pixels)
            with _decoding:
                image.load()
            return CheckedPicture(_MEDIA_TYPES[image.format or ""], *image.size)
    except UnidentifiedImageError:
        kind = file_kind(data)
        raise ImageRejectedError(
            f"The picture is {kind}; send a JPEG, PNG or WebP.", reason="unsupported_format"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels(max_pixels) from None
    except _DAMAGE:
        raise ImageRejectedError("The picture is damaged or incomplete; send it again.", reason="damaged") from None


def _check_cost(data: bytes, image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise _too_many_pixels(max_pixels)
    if _MEDIA_TYPES[image.format or ""] == "image/jpeg" and count_jpeg_scans(data, _MAX_JPEG_SCANS) > _MAX_JPEG_SCANS:
        raise ImageRejectedError(
            f"The picture is a JPEG of more than {_MAX_JPEG_SCANS} scans; save it as an ordinary JPEG.",
            reason="too_many_scans",
        )


def _too_many_parts() -> ImageRejectedError:
    return ImageRejectedError(
        f"The picture is put together from more than {_MAX_PARTS} parts; save it as an ordinary JPEG or PNG.",
        reason="too_many_parts",
    )


def _too_many_pixels(limit: int) -> ImageRejectedError:
    return ImageRejectedError(
        f"The picture has more than {limit / 1_000_000:g} megapixels; send a smaller one.",
        reason="too_many_pixels",
        limit=limit,
    )

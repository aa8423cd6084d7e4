"""Opens the bytes of a picture, which come from strangers: other formats and broken files end in one clear refusal."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from jobqueue.extraction import PermanentExtractionError


@contextmanager
def opened_picture(data: bytes) -> Iterator[Image.Image]:
    """The picture, to be decoded within the block, because a broken file often shows only then.

    Raises ``PermanentExtractionError`` with code ``IMAGE_REJECTED`` when the bytes are no JPEG, PNG or WebP.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as opened:
            yield opened
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PermanentExtractionError(
            "The picture cannot be read; send it as a complete JPEG, PNG or WebP file.", code="IMAGE_REJECTED"
        ) from error


def scale_while_decoding(opened: Image.Image, width: int, height: int) -> None:
    """Let libjpeg scale a JPEG down as far as both sides stay at least so long: that costs a third of the time."""
    if opened.format in ("JPEG", "MPO"):  # the second is a phone's JPEG with further pictures behind the first
        opened.draft(None, (width, height))

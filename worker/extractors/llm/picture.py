"""The picture as it is sent: upright, and within what every provider takes."""

from __future__ import annotations

import io
import threading

from PIL import Image, ImageOps

from jobqueue.extraction import ImageInput
from worker.extractors.opened_picture import opened_picture, scale_while_decoding

LONGEST_SIDE = 2560
"""Pixels. No provider looks at more of a picture; beyond it only costs time."""
LARGEST_BYTES = 3_600_000
"""Anthropic takes 5 MB a picture in base64, which makes four bytes of three."""
ORIENTATION = 0x0112
QUALITIES = (90, 80, 65, 50)

# A decoded picture takes four bytes a pixel, up to 200 MB; a process with fifty jobs must not decode fifty at once.
_decoding = threading.BoundedSemaphore(2)


def picture_to_send(image: ImageInput) -> tuple[bytes, str]:
    """The bytes and their media type: the original's where that will do, else a JPEG.

    Raises ``PermanentExtractionError`` with code ``IMAGE_REJECTED`` when the bytes are no picture.
    """
    with _decoding, opened_picture(image.data) as opened:
        if _will_do(opened, len(image.data)):
            return image.data, image.media_type
        return _as_jpeg(opened), "image/jpeg"


def _will_do(opened: Image.Image, size: int) -> bool:
    upright = opened.getexif().get(ORIENTATION, 1) == 1
    return upright and size <= LARGEST_BYTES and max(opened.size) <= LONGEST_SIDE


def _as_jpeg(opened: Image.Image) -> bytes:
    scale_while_decoding(opened, LONGEST_SIDE, LONGEST_SIDE)
    upright = ImageOps.exif_transpose(opened)
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    picture = upright.convert("RGB")
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    for quality in QUALITIES:
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=quality)
        if out.tell() <= LARGEST_BYTES:
            break
    return out.getvalue()

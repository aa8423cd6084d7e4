"""Small pictures in every accepted format, and files that only look like pictures."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

from PIL import Image

from jobqueue.demo.typesetting import Type, draw_text


def picture(kind: str = "PNG", size: tuple[int, int] = (64, 48)) -> bytes:
    """A picture with some detail; ``kind`` is Pillow's name of the format."""
    stored = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(stored, kind)
    return stored.getvalue()


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """``form`` is Pillow's name of the format; an MPO gets a further picture behind the first, as phones write it."""
    if form == "MPO":
        options |= {"save_all": True, "append_images": [Image.new("RGB", (40, 30))]}
    stored = io.BytesIO()
    image.save(stored, form, **options)
    return stored.getvalue()


def drawn_menu(*rows: Sequence[str]) -> bytes:
    """A page of lines with up to three columns of words, as PNG."""
    page = Image.new("RGB", (1000, 100 + 80 * len(rows)), "white")
    for row, words in enumerate(rows):
        for x, text in zip((80, 600, 780), words, strict=False):
            draw_text(page, x, 80 + 80 * row, text, Type(32, (30, 30, 30), 0.6))
    return encoded(page, "PNG")


def two_picture_jpeg() -> bytes:
    """A JPEG with a second picture behind the first, as phones write it."""
    stored = io.BytesIO()
    first, second = Image.new("RGB", (40, 30), "red"), Image.new("RGB", (20, 15), "blue")
    first.save(stored, "MPO", save_all=True, append_images=[second])
    return stored.getvalue()


def png(width: int, height: int, compressed_rows: bytes = b"") -> bytes:
    """A greyscale PNG that claims any size and holds any data."""

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", compressed_rows) + chunk(b"IEND", b"")


def blank_png(width: int, height: int) -> bytes:
    """A valid PNG whose file is about a thousandth of its pixels."""
    return png(width, height, zlib.compress(bytes((width + 1) * height), 9))


def jpeg_with_scans(number: int) -> bytes:
    """A valid progressive JPEG whose last scan is repeated until there are ``number`` of them."""
    stored = io.BytesIO()
    Image.new("L", (64, 64), 255).save(stored, "JPEG", progressive=True)
    data = stored.getvalue()
    last_scan = data[data.rfind(b"\xff\xda") : -2]
    return data[:-2] + last_scan * (number - data.count(b"\xff\xda")) + b"\xff\xd9"


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunks(*chunks: bytes) -> bytes:
    """A PNG with these behind its header."""
    data = picture("PNG")
    return data[:33] + b"".join(chunks) + data[33:]


NOT_PICTURES = {
    "a PDF": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
    "an EPS or PostScript file": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    "an SVG drawing": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"></svg>',
    "a web page": b"\n<!DOCTYPE html><html><body>Sign in to see this picture</body></html>",
    "a GIF": picture("GIF"),
    "a BMP": picture("BMP"),
    "a TIFF": picture("TIFF"),
    "a HEIC photo": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "an AVIF": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1",
    "a video": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
    "a ZIP archive or an office document": b"PK\x03\x04\x14\0\0\0",
    "no picture": b"hello",
    "empty": b"",
    "a damaged picture": b"\x89PNG\r\n\x1a\n\0\0\0\rIH",
}

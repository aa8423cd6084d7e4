"""Counting the parts that a JPEG or PNG is put together from, each of which costs its reader a step in Python.

A file of 20 MB can hold five million of them, half a minute of work and hundreds of megabytes for a tiny picture.
"""

from __future__ import annotations

from PIL.JpegImagePlugin import MARKER

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_START_OF_SCAN = 0xDA
# Pillow reads no length behind these.
_BARE = frozenset({0x00}) | {code & 0xFF for code, (_, _, handler) in MARKER.items() if handler is None}


def count_parts(data: bytes, at_most: int) -> int:
    """The chunks of a PNG, or a JPEG's segments and fill bytes before its first scan; stops above ``at_most``."""
    if data.startswith(_PNG):
        return _png_chunks(data, at_most)
    return _jpeg_segments(data, at_most) if data.startswith(_JPEG) else 0


def _png_chunks(data: bytes, at_most: int) -> int:
    count, position = 0, len(_PNG)
    while position < len(data) and count <= at_most:
        if data[position + 4 : position + 8] == b"IEND":
            break  # what follows is never read
        position += 12 + int.from_bytes(data[position : position + 4], "big")
        count += 1
    return count


def _jpeg_segments(data: bytes, at_most: int) -> int:
    count, position = 0, 2
    while position + 1 < len(data) and data[position] == 0xFF and count <= at_most:
        kind = data[position + 1]
        count += 1
        if kind == _START_OF_SCAN:
            break
        if kind == 0xFF:
            position += 1
        elif kind in _BARE:
            position += 2
        else:
            position += 2 + max(2, int.from_bytes(data[position + 2 : position + 4], "big"))
    return count

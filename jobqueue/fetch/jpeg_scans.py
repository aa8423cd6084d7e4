"""Counting the scans of a JPEG, each of which costs a pass over the whole picture however few bytes it takes."""

from __future__ import annotations

import re

# Fill bytes, stuffed bytes (FF 00) and restart markers (FF D0 to FF D7) belong to the compressed data.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
# A JPEG of a hundred scans has some hundreds; millions of empty ones would make the counting itself the attack.
_MAX_SEGMENTS = 20_000
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN, _TEMPORARY = 0xD8, 0xD9, 0xDA, 0x01


def count_jpeg_scans(data: bytes, at_most: int) -> int:
    """The number of scans in the first image of ``data``, a JPEG; counting stops above ``at_most``.

    More segments than any encoder writes count as too many scans.
    """
    scans = 0
    segments = 0
    position = 0
    while scans <= at_most and (marker := _MARKER.search(data, position)):
        position = marker.end()
        segments += 1
        if segments > _MAX_SEGMENTS:
            return at_most + 1
        kind = marker[1][0]
        if kind == _END_OF_IMAGE:
            break
        if kind in (_START_OF_IMAGE, _TEMPORARY):
            continue
        scans += kind == _START_OF_SCAN
        position += int.from_bytes(data[position : position + 2], "big")
    return scans

"""Naming what somebody sent instead of a picture, for the sentence that refuses it."""

from __future__ import annotations

import re

_HEAD = 1_024
_KINDS: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), kind)
    for pattern, kind in (
        (rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP", "a damaged picture"),
        (rb".{0,1000}%PDF-", "a PDF"),
        (rb"%!PS|\xc5\xd0\xd3\xc6", "an EPS or PostScript file"),
        (rb"GIF8[79]a", "a GIF"),
        (rb"BM.{4}\0\0\0\0", "a BMP"),
        (rb"II\*\0|MM\0\*", "a TIFF"),
        (rb"....ftyp(?:heic|heix|hevc|heim|heis|mif1|msf1)", "a HEIC photo"),
        (rb"....ftypavi[fs]", "an AVIF"),
        (rb"....ftyp", "a video"),
        (rb"PK\x03\x04", "a ZIP archive or an office document"),
        (rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml.*?)?(?:<!--.*?-->\s*)*(?:<!doctype svg|<svg)", "an SVG drawing"),
        (rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype html|html|head|body)", "a web page"),
    )
)


def file_kind(data: bytes) -> str:
    """What ``data`` is, with its article ("a PDF"), judged by its first bytes; "no picture" where nothing fits."""
    if not data:
        return "empty"
    head = data[:_HEAD]
    return next((kind for pattern, kind in _KINDS if pattern.match(head)), "no picture")

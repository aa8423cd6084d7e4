"""Bytes of a picture to an upright BGR array of a size the engine can work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from worker.extractors.opened_picture import opened_picture, scale_while_decoding

Pixels = npt.NDArray[np.uint8]

LONGEST_SIDE = 2000
"""Larger pictures are scaled down: text that is still readable on a menu is then at least some ten pixels high."""
SHORTEST_SIDE = 96
"""Smaller pictures get a border: the detector rounds both sides to multiples of 32 and cannot work with none."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An upright picture: ``pixels`` is height x width x 3 in blue, green, red."""

    pixels: Pixels

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    def turned(self, quarters: int) -> Picture:
        """The picture turned counter-clockwise by so many quarter turns."""
        return Picture(np.ascontiguousarray(np.rot90(self.pixels, quarters)))


def decode_picture(data: bytes) -> Picture:
    """Decode a JPEG, PNG or WebP, turned upright by its EXIF tag, transparency on white, the first frame of many.

    Raises ``PermanentExtractionError`` with code ``IMAGE_REJECTED`` when the bytes are no such picture.
    """
    with opened_picture(data) as opened:
        # Asked in the picture's own proportions, because both sides stay at least as long as asked.
        ratio = LONGEST_SIDE / max(opened.size)
        scale_while_decoding(opened, int(opened.width * ratio), int(opened.height * ratio))
        opened.load()
        image = _to_rgb(ImageOps.exif_transpose(opened))
    return Picture(_bordered(np.asarray(_within_bounds(image))[:, :, ::-1]))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Sixteen bits a pixel: Pillow would clip, not scale, them to eight.
        values = np.asarray(image, dtype=np.float64)
        low, high = float(values.min()), float(values.max())
        scaled: npt.NDArray[Any] = (values - low) * (255.0 / max(high - low, 1.0))
        return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _within_bounds(image: Image.Image) -> Image.Image:
    ratio = LONGEST_SIDE / max(image.size)
    if ratio >= 1:
        return image
    size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _bordered(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    below, right = max(0, SHORTEST_SIDE - height), max(0, SHORTEST_SIDE - width)
    if not below and not right:
        return np.ascontiguousarray(pixels)
    return np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")

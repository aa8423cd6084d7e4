"""Makes of a clean page a photo: lying askew on a wooden table, in uneven light, with a little noise."""

from __future__ import annotations

import random

from PIL import Image, ImageChops, ImageDraw, ImageFilter


def photograph(page: Image.Image, size: tuple[int, int], seed: int) -> Image.Image:
    """The page as a camera would see it; the same ``seed`` gives the same picture."""
    chance = random.Random(seed)  # noqa: S311 - grain of wood, no secret
    scene = _table(size, chance)
    # Source place = (a x + b y + c, d x + e y + f) / (g x + h y + 1): turned by five degrees, the far edge smaller.
    scale = page.height / (size[1] * 0.82)
    view = (1.10 * scale, 0.105 * scale, -300 * scale, -0.085 * scale, 1.09 * scale, -62 * scale, 0.0, 0.00010)
    flat = page.convert("RGBA").transform(size, Image.Transform.PERSPECTIVE, view, Image.Resampling.BICUBIC)
    shadow = Image.new("L", size, 0)
    shadow.paste(150, (14, 20), flat.getchannel("A"))
    scene.paste((24, 16, 10), (0, 0), shadow.filter(ImageFilter.GaussianBlur(16)))
    scene.paste(flat, (0, 0), flat)
    return _noisy(_lit(scene), chance).filter(ImageFilter.GaussianBlur(0.6))


def _table(size: tuple[int, int], chance: random.Random) -> Image.Image:
    width, height = size
    grain = Image.frombytes("L", (6, height), chance.randbytes(6 * height)).filter(ImageFilter.GaussianBlur(1.2))
    grain = grain.resize(size, Image.Resampling.BICUBIC)
    wood = Image.composite(Image.new("RGB", size, (139, 96, 62)), Image.new("RGB", size, (92, 58, 36)), grain)
    pen = ImageDraw.Draw(wood)
    for plank in range(0, height, height // 5):
        pen.line((0, plank, width, plank), (52, 32, 20), 4)
    return wood.filter(ImageFilter.GaussianBlur(1.5))


def _lit(scene: Image.Image) -> Image.Image:
    """Lamp light from the upper left; the far corner lies in half shadow."""
    glow = ImageChops.invert(Image.radial_gradient("L")).resize((scene.width * 2, scene.height * 2))
    glow = glow.crop((scene.width * 3 // 5, scene.height * 3 // 5, scene.width * 8 // 5, scene.height * 8 // 5))
    light = glow.point(lambda value: 128 + value // 2)
    warm = Image.merge("RGB", (light, light.point(lambda v: int(v * 0.975)), light.point(lambda v: int(v * 0.92))))
    return ImageChops.multiply(scene, warm)


def _noisy(scene: Image.Image, chance: random.Random) -> Image.Image:
    speck = Image.frombytes("L", scene.size, chance.randbytes(scene.width * scene.height))
    speck = speck.point(lambda value: 119 + value // 15)
    return ImageChops.overlay(scene, Image.merge("RGB", (speck, speck, speck)))

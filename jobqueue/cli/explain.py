"""``jobqueue explain``."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from jobqueue.errors import InvalidInputError


@click.command()
@click.argument("picture", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="PNG", help="Where the drawing goes; beside PICTURE without it."
)
def explain(picture: Path, out: Path | None) -> None:
    """Draw onto a menu picture what each stage of the OCR extractor saw.

    Needs no database and no Redis.
    """
    if any(find_spec(module) is None for module in ("celery", "cv2", "numpy", "onnxruntime", "rapidocr")):
        raise InvalidInputError("The OCR extractor is not installed; run: pip install 'menu-jobqueue[worker,ocr]'.")
    drawing = out or picture.with_name(f"{picture.stem}.explained.png")
    if not picture.is_file():
        raise InvalidInputError(f"There is no picture at {picture}.")
    if drawing.suffix.lower() != ".png":
        raise InvalidInputError(f"The drawing is a PNG: name it so that it ends in .png, not {drawing.name}.")
    if drawing.is_dir() or not drawing.parent.is_dir():
        raise InvalidInputError(f"The drawing cannot be written to {drawing}: name a file in a folder that exists.")
    if drawing.exists() and drawing.samefile(picture):
        raise InvalidInputError("The drawing would replace the picture: name another file with --out.")
    # The library never imports the worker, so this process becomes the worker's.
    module = "worker.extractors.ocr.explain"
    os.execv(sys.executable, [sys.executable, "-m", module, str(picture), str(drawing)])  # noqa: S606

"""The recognition engine: RapidOCR with the models in its wheel, one instance a process, made when first needed."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from worker.extractors.ocr.picture import Picture, Pixels
from worker.extractors.ocr.text_line import Point, ReadLine

THREADS = 2
DETECTOR_LONGEST_SIDE = 1280
LINES_AT_ONCE = 24
SMOOTHING = 1.0
"""The standard deviation in pixels."""
LONGEST_SUM = 200.0
"""Of the lengths of lines that are recognised together, in their heights: about 400 MB in the recogniser."""

Corners = tuple[Point, Point, Point, Point]

_lock = threading.Lock()
_engines: dict[int, Any] = {}


def engine() -> Any:
    """This process's engine. It is keyed by process id: a child must not use the threads of the parent it came from."""
    with _lock:
        pid = os.getpid()
        if pid not in _engines:
            _engines.clear()
            _engines[pid] = _load()
        return _engines[pid]


def _load() -> Any:
    # onnxruntime otherwise makes up an id for this machine, keeps it in the user's cache folder, and reports its use.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    # Imported here: the libraries cost seconds and start threads, which a prefork parent must not do.
    from rapidocr import RapidOCR  # noqa: PLC0415

    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.use_cls": False,
            "Global.use_vertical_padding": False,
            "EngineConfig.onnxruntime.intra_op_num_threads": min(THREADS, os.cpu_count() or 1),
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Det.limit_type": "max",
            "Det.limit_side_len": DETECTOR_LONGEST_SIDE,
            "Global.return_word_box": True,
        }
    )


@dataclass(frozen=True, slots=True)
class FoundText:
    """A place where the detector sees text: its ``box`` in the picture, its ``crop`` as the recogniser is shown it."""

    crop: Pixels
    box: Corners

    @property
    def length(self) -> float:
        return float(max(self.crop.shape[:2]))

    @property
    def shape(self) -> float:
        """How many times it is as long as it is high, as the recogniser is shown it."""
        return float(self.crop.shape[1] / self.crop.shape[0])

    @property
    def is_tall(self) -> bool:
        """Whether it is so much higher than wide that ``crop`` was turned by a quarter, counter-clockwise."""
        return _is_tall(self.box)

    def upside_down(self) -> FoundText:
        return replace(self, crop=np.ascontiguousarray(self.crop[::-1, ::-1]))

    def smoothed(self) -> FoundText:
        blurred = cv2.GaussianBlur(self.crop, (0, 0), SMOOTHING)
        return replace(self, crop=blurred.astype(np.uint8, copy=False))


def find_text(picture: Picture) -> list[FoundText]:
    """Where text stands, the longest lines first; empty where there is none."""
    from rapidocr.main import RapidOCRError  # noqa: PLC0415

    try:
        crops, detected = engine().detect_and_crop(picture.pixels, {})
    except RapidOCRError:  # its way of saying that there is no text
        return []
    found = [
        FoundText(crop, _points(box))
        for crop, box in zip(crops, detected.boxes, strict=True)
        if min(crop.shape[:2]) > 1
    ]
    # Lines of like length then share a batch, so that little of it is padding.
    return sorted(found, key=lambda text: text.shape, reverse=True)


def recognise(found: Sequence[FoundText], progress: Callable[[float], None] = lambda _: None) -> list[ReadLine]:
    """What stands in each place, in their order; the text is empty where nothing could be read.

    ``progress`` is told the fraction done, 0..1, as the work goes on.
    """
    lines: list[ReadLine] = []
    while len(lines) < len(found):
        rest = found[len(lines) : len(lines) + LINES_AT_ONCE]
        lines.extend(_recognise(rest[: lines_at_once([text.shape for text in rest])]))
        progress(len(lines) / len(found))
    return lines


def lines_at_once(shapes: Sequence[float]) -> int:
    """How many of the first lines to recognise together, from how many times each is as long as high.

    The recogniser takes six at a time, each padded to the longest, and its memory grows with the sum of the lengths.
    """
    for count in range(1, min(len(shapes), 6)):
        if (count + 1) * max(shapes[: count + 1]) > LONGEST_SUM:
            return count
    return len(shapes)


def read_places(picture: Picture, places: Sequence[Sequence[Point]]) -> list[tuple[str, float]]:
    """What stands between the given corners, clockwise from the top left of each place: text and score 0..1."""
    crops = [_cut_out(picture, corners) for corners in places]
    read = engine().recognize_txt(crops)
    return [(text, float(score)) for text, score in zip(read.txts, read.scores, strict=True)]


def _cut_out(picture: Picture, corners: Sequence[Point]) -> Pixels:
    top_left, top_right, _, bottom_left = corners
    width, height = (max(4, round(math.dist(top_left, other))) for other in (top_right, bottom_left))
    upright = np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=np.float32)
    turn = cv2.getPerspectiveTransform(np.array(corners, dtype=np.float32), upright)
    cut = cv2.warpPerspective(picture.pixels, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return cut.astype(np.uint8, copy=False)


def _recognise(batch: Sequence[FoundText]) -> Iterator[ReadLine]:
    read = engine().recognize_txt([text.crop for text in batch])
    for text, score, places, found in zip(read.txts, read.scores, read.word_results, batch, strict=True):
        if not text.strip():
            yield ReadLine("", 0.0, _reading_corners(found.box), (), ())
            continue
        columns = iter([column for word in places.word_cols for column in word])
        length = max(float(places.line_txt_len), 1.0)
        centres: list[float] = []
        for character in text:
            # The engine gives no place for a space; it lies where the character before it does.
            place = (next(columns, length) + 0.5) / length if not character.isspace() else (centres or [0.0])[-1]
            centres.append(min(place, 1.0))
        scores = tuple(float(value) for value in places.confs)
        yield ReadLine(text, float(score), _reading_corners(found.box), tuple(centres), scores)


def _points(box: Any) -> Corners:
    top_left, top_right, bottom_right, bottom_left = ((float(x), float(y)) for x, y in box)
    return top_left, top_right, bottom_right, bottom_left


def _is_tall(box: Corners) -> bool:
    top_left, top_right, bottom_right, bottom_left = box
    height = max(math.dist(top_left, bottom_left), math.dist(top_right, bottom_right))
    width = max(math.dist(top_left, top_right), math.dist(bottom_left, bottom_right))
    return height >= 1.5 * width


def _reading_corners(box: Corners) -> Corners:
    """The corners from the top left of the text as it is read."""
    top_left, top_right, bottom_right, bottom_left = box
    return (top_right, bottom_right, bottom_left, top_left) if _is_tall(box) else box

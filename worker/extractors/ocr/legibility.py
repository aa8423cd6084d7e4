"""Tells what the engine could not read from what it read: its models know Latin letters, Chinese and Japanese only.

Of other scripts the recogniser makes blanks, letters that look alike, or guesses with low scores; of the Vietnamese
letters it lacks it makes nothing, so that ``Phở`` becomes ``Ph``. Digits it reads in any company: where they are clear
and the words are not, the script is the reason and not the photo.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from worker.extractors.ocr.prices import find_prices
from worker.extractors.ocr.text_line import ReadLine

FAINT, DOUBTFUL = 0.7, 0.8
"""Words with a lower score were guessed; with one up to the second they may have been."""
MOSTLY, PARTLY = 0.7, 0.25
"""Shares of a page's words, by length, that could not be read."""
FEWEST_NUMBERS = 3
CLEAR_NUMBERS = 0.9
WIDEST_STEP = 2.0
"""From one character to the next, in heights of the line; beyond it there are characters between them."""
LONGEST_TEXT = 200
FEWEST_LETTERS = 3
"""Guesses with fewer letters are only counted."""
REASON = "The OCR engine cannot read this: it is in a script, or has letters, that it does not know."

_LETTERS = re.compile(r"[^\W\d_]{2}")
_WORD = re.compile(r"[^\W\d_]+")
_GREEK = re.compile(r"[\u0370-\u03ff]")
_ONLY_VIETNAMESE = re.compile(r"[ơưƠƯ]")
_CONSONANTS = re.compile(r"(?i)^[bcdđghklmnpqrstvx]{2,}$")


@dataclass(frozen=True, slots=True)
class Legibility:
    """``lines`` are for the layout. ``guesses`` and ``blanks`` are what could not be read, the latter without a text.

    ``hopeless`` says that this is most of the page.
    """

    lines: list[ReadLine]
    guesses: list[ReadLine] = field(default_factory=list)
    blanks: list[ReadLine] = field(default_factory=list)
    hopeless: bool = False


def judge(read: Sequence[ReadLine], blanks: Sequence[ReadLine]) -> Legibility:
    """Sort the lines of a page. Blurred words stay among ``lines``: a low score is no sign of a script by itself."""
    vietnamese = sum(len(_ONLY_VIETNAMESE.findall(line.text)) for line in read) >= 2
    foreign = [line for line in read if _has_greek(line.text) or (vietnamese and _lacks_letters(line.text))]
    words = [line for line in read if not _is_number(line)]
    length = sum(_length(line) for line in [*words, *blanks])
    if not length:
        return Legibility(list(read))
    if not _has_clear_numbers(read):
        return _sorted_out(read, foreign, [], _share(foreign, length) >= MOSTLY)
    guessed = [line for line in words if line.score < DOUBTFUL or _is_sparse(line) or line in foreign]
    hopeless = _share([*guessed, *blanks], length) >= MOSTLY
    if not hopeless:
        guessed = [line for line in words if line.score < FAINT or _is_sparse(line) or line in foreign]
        if _share([*guessed, *blanks], length) < PARTLY:
            return _sorted_out(read, foreign, [], hopeless=False)
    unread = [*guessed, *blanks]
    marks = [line for line in read if line not in guessed and any(_stands_in(line, other) for other in unread)]
    return _sorted_out(read, [*guessed, *marks], blanks, hopeless)


def unread_items(legibility: Legibility) -> list[dict[str, Any]]:
    """What could not be read, as entries of ``uncertainItems``."""
    found: list[dict[str, Any]] = []
    telling = [line for line in legibility.guesses if sum(map(str.isalpha, line.text)) >= FEWEST_LETTERS]
    for line in sorted(telling, key=lambda line: line.corners[0][1]):
        prices = [price.value for price in find_prices(line.text) if price.value is not None]
        item = {"text": line.text.strip()[:LONGEST_TEXT], "reason": REASON, "confidence": round(0.3 * line.score, 3)}
        found.append(item | ({"suggestedPrice": prices[0]} if prices else {}))
    count = len(legibility.guesses) - len(telling) + len(legibility.blanks)
    if count:
        found.append({"text": f"{count} more line{'s' * (count > 1)}", "reason": REASON, "confidence": 0.0})
    return found


def _sorted_out(
    read: Sequence[ReadLine], guesses: Sequence[ReadLine], blanks: Sequence[ReadLine], hopeless: bool
) -> Legibility:
    return Legibility([line for line in read if line not in guesses], list(guesses), list(blanks), hopeless)


def _share(lines: Sequence[ReadLine], length: float) -> float:
    return sum(_length(line) for line in lines) / length


def _length(line: ReadLine) -> float:
    return math.dist(line.corners[0], line.corners[1])


def _is_number(line: ReadLine) -> bool:
    digits = sum(character.isdigit() for character in line.text)
    letters = sum(character.isalpha() for character in line.text)
    return digits > letters and not _LETTERS.search(line.text)


def _has_clear_numbers(read: Sequence[ReadLine]) -> bool:
    scores = [line.score for line in read if _is_number(line)]
    return len(scores) >= FEWEST_NUMBERS and median(scores) >= CLEAR_NUMBERS


def _is_sparse(line: ReadLine) -> bool:
    characters = sum(not character.isspace() for character in line.text)
    height = math.dist(line.corners[0], line.corners[3])
    return _length(line) > WIDEST_STEP * height * max(characters, 1)


def _stands_in(line: ReadLine, other: ReadLine) -> bool:
    """Whether ``line`` is a mark over the letters of ``other``, which the detector took for a line of its own."""
    x, y = (sum(corner[axis] for corner in line.corners) / 4 for axis in (0, 1))
    margin = 0.3 * math.dist(other.corners[0], other.corners[3])
    xs, ys = ([corner[axis] for corner in other.corners] for axis in (0, 1))
    smaller = _length(line) < 0.5 * _length(other)
    return smaller and min(xs) <= x <= max(xs) and min(ys) - margin <= y <= max(ys)


def _has_greek(text: str) -> bool:
    """Whether Greek letters make words here: Greek, or Cyrillic taken for it. One alone is a symbol."""
    return any(len(_GREEK.findall(word)) >= (1 if len(word) >= 3 else 2) for word in _WORD.findall(text))


def _lacks_letters(text: str) -> bool:
    """Whether a line of a Vietnamese page is Vietnamese itself, and so likely to have lost letters."""
    words = _WORD.findall(text)
    accents = any(ord(letter) > 127 and unicodedata.name(letter, "").startswith("LATIN") for letter in "".join(words))
    return accents or any(_CONSONANTS.match(word) for word in words)

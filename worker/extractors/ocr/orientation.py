"""Decides whether a picture lies sideways or upside down, from its text: for upright ones without any further work."""

from __future__ import annotations

from collections.abc import Callable, Sequence

WELL_READ = 0.88
"""Lines that lie as the engine takes them to have a higher mean score than this; no other way is then tried."""
TURNED_GAIN = 0.15
"""The other way round must read better by so much."""
READABLE = 0.8
"""A picture is turned only if its text then has at least this mean score: upright Chinese columns have not."""


def lies_sideways(lines: Sequence[tuple[bool, float]]) -> bool:
    """Whether most text runs up or down the picture: of each line whether it is tall, and its length."""
    tall = sum(length for is_tall, length in lines if is_tall)
    return tall > 0.5 * sum(length for _, length in lines)


def quarters_to_turn(sideways: bool, score: float, score_upside_down: Callable[[], float]) -> int:
    """By how many quarters, counter-clockwise, the picture has to be turned so that its text is upright.

    ``score`` is the mean score of some lines read from left to right or, if ``sideways``, downwards. The mean score of
    the same lines read the other way round is asked for only when ``score`` is too low for upright text.
    """
    upside_down = False
    if score < WELL_READ:
        other = score_upside_down()
        upside_down = other >= score + TURNED_GAIN
        score = max(score, other)
    if score < READABLE:
        return 0
    return (1 if sideways else 0) + (2 if upside_down else 0)

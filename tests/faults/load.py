"""What is submitted: every job has a picture of its own, so that its hash is its key, and a script to follow."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from tests.image_server import ImageServer, picture

PERMANENT = "permanent"
ALWAYS_TRANSIENT = "transient"
KILLER = "kill"


@dataclass(frozen=True, slots=True)
class Piece:
    """One job to submit. ``script`` has one step per execution, the last of them repeated; see ``extractor``."""

    number: int
    script: str
    url: str
    sha256: str

    @property
    def expected_code(self) -> str | None:
        """The error code that it ends with however often it is tried, None where it completes."""
        return {PERMANENT: "NO_MENU_FOUND", ALWAYS_TRANSIENT: "PROVIDER_OVERLOADED", KILLER: "WORKER_LOST"}.get(
            self.script
        )


def usual_script(number: int, work_ms: int = 30) -> str:
    """Mostly pictures that can be read, some that need two attempts, some that fail, some longer than a lease."""
    if number % 20 == 7:
        return f"transient,work:{work_ms}"
    if number % 40 == 11:
        return PERMANENT
    if number % 80 == 13:
        return ALWAYS_TRANSIENT
    if number % 100 == 50:
        return "work:2500"
    return f"work:{work_ms}"


def make_piece(images: ImageServer, number: int, script: str) -> Piece:
    path = f"/{number}.png"
    data = picture("PNG", f"#{number:06x}")
    images.add(path, data)
    return Piece(number, script, images.url(path, script=script), hashlib.sha256(data).hexdigest())

"""Separate Python processes that own servers, for tests that kill them or run them as somebody else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

SITE_PACKAGES = Path(redis.__file__).parents[1]
SEARCH_PATH = f"{Path(__file__).parents[1]}:{SITE_PACKAGES}"


@contextmanager
def owner(
    script: str,
    *arguments: str,
    python: Sequence[str] = (sys.executable,),
    environment: Mapping[str, str] | None = None,
    **options: Any,
) -> Iterator[subprocess.Popen[str]]:
    """Run ``script``; whatever happens in the test, it is killed at the end."""
    process = subprocess.Popen(
        [*python, "-c", script, *arguments],
        cwd="/",
        env={**os.environ, "PYTHONPATH": SEARCH_PATH, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def next_line(process: subprocess.Popen[str]) -> str:
    """The next line that the owner prints, without its end; empty when it has ended."""
    assert process.stdout is not None
    return process.stdout.readline().strip()

"""Keeping a process of many threads small: what a thread frees goes back to the system."""

from __future__ import annotations

import ctypes

M_MMAP_THRESHOLD = -3
LARGE_BYTES = 1_000_000


def give_large_blocks_back() -> None:
    """Let the C library take blocks of a megabyte and more from the system one by one, and give them back when freed.

    By itself glibc raises that limit with the first large block it sees freed, and from then on keeps up to 64 MB for
    each thread that ever decoded a picture: sixty threads held 3.7 GB after a photo each. Does nothing elsewhere.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)

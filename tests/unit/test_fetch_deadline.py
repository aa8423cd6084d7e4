"""The clock of a download."""

from __future__ import annotations

import pytest

from jobqueue.fetch.deadline import Deadline


def test_it_counts_down_and_then_raises() -> None:
    deadline = Deadline(60)
    first = deadline.remaining()
    assert 59 < deadline.remaining() <= first <= 60
    with pytest.raises(TimeoutError):
        Deadline(0).remaining()

"""The recognition engine reports to nobody and leaves nothing in the user's folders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# RapidOCR loads onnxruntime with the first picture, and onnxruntime writes its files when it is loaded.
LOAD_THE_ENGINE = """
from worker.extractors.ocr.engine import engine
engine()
import onnxruntime
"""


def test_the_engine_leaves_nothing_in_the_users_folders(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "REDIS_URL": "redis://127.0.0.1:1",
    }

    subprocess.run([sys.executable, "-c", LOAD_THE_ENGINE], env=environment, check=True, timeout=60)

    assert list(tmp_path.iterdir()) == []

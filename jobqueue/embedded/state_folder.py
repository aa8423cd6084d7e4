"""Where the embedded database of ``jobqueue up`` keeps its data between runs."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path:
    """This user's folder for state. For root one that the user Postgres runs as can enter, unlike root's home."""
    if os.geteuid() == 0:
        return Path("/var/lib/menu-jobqueue")
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "menu-jobqueue"

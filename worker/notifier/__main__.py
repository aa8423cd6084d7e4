"""``python -m worker.notifier``; ``jobqueue notifier`` runs the same."""

from __future__ import annotations

import logging
import sys

from jobqueue.errors import JobQueueError
from jobqueue.settings import load_settings
from worker.notifier.service import Notifier


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        notifier = Notifier(load_settings())
    except JobQueueError as error:
        sys.stderr.write(f"Error: {error.message}\n")
        return 2
    notifier.handle_signals()
    notifier.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

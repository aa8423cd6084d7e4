"""``python -m worker.notifier``; ``jobqueue notifier`` runs the same."""

from __future__ import annotations

import logging
import os
import sys

from jobqueue.errors import JobQueueError
from jobqueue.settings import load_settings
from worker.notifier.outage_log import OthersLimit
from worker.notifier.service import Notifier
from worker.notifier.wake_up import SessionLostError


def main() -> int:
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(OthersLimit())
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", handlers=[handler]
    )
    try:
        notifier = Notifier(load_settings())
        notifier.handle_signals()
        notifier.run()
    except JobQueueError as error:
        sys.stderr.write(f"Error: {error.message}\n")
        return 2
    except SessionLostError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    # A supervisor waits for the end, and taking the interpreter apart, which nothing needs, takes longer than stopping.
    os._exit(status)

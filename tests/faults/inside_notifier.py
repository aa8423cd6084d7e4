"""The notifier of the fault tests: the product's own, with what the tests put into it."""

from __future__ import annotations

from tests.faults import mechanisms, steps
from worker.notifier.__main__ import main

if __name__ == "__main__":
    steps.install_in_notifier()
    mechanisms.switch_off_from_environment("notifier")
    raise SystemExit(main())

"""The commands as a script calls them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from click.testing import CliRunner, Result

from jobqueue.cli import main

URL = "https://pictures.example/menu.png"


NOBODY = "00000000-0000-4000-8000-000000000000"


COMMANDS = ["submit", "status", "watch", "list", "retry", "cancel", "quota", "history"]


@dataclass(frozen=True)
class CommandLine:
    environment: dict[str, str]

    def __call__(self, *arguments: object, **environment: str) -> Result:
        result = CliRunner().invoke(main, [str(one) for one in arguments], env={**self.environment, **environment})
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def json(self, *arguments: object) -> Any:
        return json.loads(self(*arguments, "--json").stdout)


def error_of(result: Result) -> str:
    """The one sentence on stderr."""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("Error: ").strip()

"""What strangers wrote is shown, and never obeyed by the terminal."""

from __future__ import annotations

import json
from uuid import UUID

from sqlalchemy import Engine

from jobqueue import ExtractionJob, JobQueueManager
from tests.command_line import URL, CommandLine
from tests.integration.jobs import claimed, completed, fail, queued

# An escape sequence, a C1 control, a bidirectional override and rich's markup.
HOSTILE = "\x1b[2J\x9b31m\u202e[red]Fish[/red]\r\nand chips\x07"


def hostile_job(manager: JobQueueManager, engine: Engine, user_id: UUID) -> ExtractionJob:
    """Completed; its menu and its address carry what a terminal or rich would obey."""
    item = {"name": HOSTILE, "price": 1, "confidence": 1}
    menu = {"categories": [{"name": HOSTILE, "items": [item], "confidence": 1}]}
    return completed(manager, engine, user_id, result={"menu": menu, "currency": "EUR"})


def test_no_text_of_a_stranger_reaches_the_terminal_as_a_command(
    run: CommandLine, manager: JobQueueManager, engine: Engine, user_id: UUID
) -> None:
    done = hostile_job(manager, engine, user_id)
    lost = queued(manager, user_id)
    fail(engine, lost.id, claimed(engine, lost.id, worker=HOSTILE).attempt, HOSTILE)
    outputs = {
        "status": run("status", done.id).output,
        "status of a failed job": run("status", lost.id).output,
        "list": run("list").output,
        "history": run("history", lost.id).output,
        "watch": run("watch", lost.id).output,
        "submit": run("submit", f"{URL}?{HOSTILE}", f"{URL}?\x1b[2J", "--user", user_id).output,
    }
    for name, output in outputs.items():
        assert not [char for char in output if not char.isprintable() and char != "\n"], name
    for name in ("status", "status of a failed job", "list", "history", "watch"):
        assert "[red]Fish[/red]" in outputs[name], f"{name} took markup for its own"
    for command in (["list"], ["status", done.id], ["history", lost.id], ["watch", lost.id]):
        raw = run(*command, "--json").stdout
        assert raw.isascii()
        assert "\x1b" not in raw
        assert json.dumps(HOSTILE)[1:-1] in raw  # whole, escaped

"""An extractor that follows its picture's script and writes down every execution where no server can lose it."""

from __future__ import annotations

import os
import signal
import time
from copy import deepcopy
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from jobqueue.extraction import (
    ExtractionOutcome,
    ImageInput,
    PermanentExtractionError,
    ProgressReport,
    TransientExtractionError,
)
from tests.faults.steps import MID_EXTRACTION, reached
from tests.scripted_extractor import RESULT

JOURNAL = "FAULTS_JOURNAL"


class JournallingExtractor:
    """Steps: ``work:MILLISECONDS``, ``transient``, ``permanent``, ``kill``. The result names its execution."""

    name = "journalling"

    def __init__(self) -> None:
        self._folder = Path(os.environ[JOURNAL])

    def extract(
        self, image: ImageInput, *, schema_version: str, prompt_version: str, report: ProgressReport
    ) -> ExtractionOutcome:
        address = urlsplit(image.url)
        token = f"{os.getpid()} {uuid4().hex}"
        execution = self._note(Path(address.path).stem, token)
        script = parse_qs(address.query)["script"][0].split(",")
        step, _, milliseconds = script[min(execution, len(script)) - 1].partition(":")
        report(step, 0.0)
        reached(MID_EXTRACTION)
        match step:
            case "transient":
                raise TransientExtractionError("The provider is overloaded.", "PROVIDER_OVERLOADED")
            case "permanent":
                raise PermanentExtractionError("There is no menu on this picture.", "NO_MENU_FOUND")
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
        # It reports no more: a worker that lost its job learns of it when it writes, and not before.
        time.sleep(int(milliseconds) / 1000)
        result = deepcopy(RESULT)
        result["superfluousText"] = [{"text": token, "context": "execution", "confidence": 1.0}]
        return ExtractionOutcome(result, 0.9)

    def _note(self, number: str, token: str) -> int:
        """Write the execution down and return which one of its job it is."""
        path = self._folder / number
        with path.open("a") as journal:
            journal.write(f"{token}\n")
        return len(path.read_text().splitlines())


def executions(folder: Path) -> dict[int, list[str]]:
    """The tokens of all executions by the number of their picture."""
    return {int(path.name): path.read_text().splitlines() for path in folder.iterdir()}

"""An extractor that does what the picture's address says: ``...?script=transient,kill,ok`` has one step per execution.

The count of executions lives in Redis, because a step may kill the process that takes it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import redis

from jobqueue.extraction import (
    ExtractionOutcome,
    ImageInput,
    PermanentExtractionError,
    ProgressReport,
    TransientExtractionError,
)

RESULT: dict[str, Any] = {
    "menu": {
        "categories": [
            {"name": "Soups", "items": [{"name": "Miso", "price": 4.5, "confidence": 0.9}], "confidence": 0.95}
        ]
    },
    "currency": "EUR",
    "uncertainItems": [{"text": "Crab ?", "reason": "no price", "confidence": 0.3}],
    "superfluousText": [{"text": "Thank you", "context": "footer", "confidence": 0.8}],
}


class ScriptedExtractor:
    name = "scripted"

    def __init__(self) -> None:
        self._redis = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=None)

    def extract(
        self, image: ImageInput, *, schema_version: str, prompt_version: str, report: ProgressReport
    ) -> ExtractionOutcome:
        script = parse_qs(urlsplit(image.url).query).get("script", ["ok"])[0].split(",")
        execution = int(self._redis.incr(executions_key(image.url)))
        step = script[min(execution, len(script)) - 1]
        report(f"step {step}", 0.5)
        return self._take(step, image.url, report)

    def _take(self, step: str, url: str, report: ProgressReport) -> ExtractionOutcome:
        match step:
            case "ok":
                return ExtractionOutcome(RESULT, 0.9, {"inputTokens": 12, "outputTokens": 34, "estimatedCost": 0.01})
            case "hold":
                self._redis.rpush(held_key(url), os.getpid())
                self._redis.blpop([release_key(url)], timeout=60)
                return ExtractionOutcome(RESULT, 0.9)
            case "deaf":
                # As C code would: signals come and are not heeded, that of the soft limit and those that ask to stop.
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM, signal.SIGQUIT})
                self._redis.rpush(held_key(url), os.getpid())
                time.sleep(60)
            case "report":
                self._redis.rpush(held_key(url), os.getpid())
                while self._redis.blpop([release_key(url)], timeout=0.05) is None:
                    report("reading", 0.5)
                return ExtractionOutcome(RESULT, 0.9)
            case "transient":
                raise TransientExtractionError("The provider is overloaded.", "PROVIDER_OVERLOADED")
            case "permanent":
                raise PermanentExtractionError("There is no menu on this picture.", "NO_MENU_FOUND")
            case "malformed":
                return ExtractionOutcome({"dishes": []}, 0.9)
            case "selfish":
                # Through PyDLL, C code keeps the interpreter to itself: no other thread renews the lease.
                ctypes.PyDLL(None).sleep(4)
                return ExtractionOutcome(RESULT, 0.9)
        poison(step)
        # As libraries do that put into an error's text whatever they were called with.
        said = f"secret-token {os.environ.get('PROVIDER_KEY')} at step {step} of {url}"
        raise RuntimeError(said) from LookupError(said)


def poison(step: str) -> None:
    """What a picture may do to the process that reads it."""
    match step:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "memory":
            raise MemoryError
        case "sleep":
            time.sleep(60)


def executions_key(url: str) -> str:
    return f"scripted:executions:{url}"


def held_key(url: str) -> str:
    return f"scripted:held:{url}"


def release_key(url: str) -> str:
    return f"scripted:release:{url}"

"""The routes of the HTTP API, and what an error of theirs looks like."""

from __future__ import annotations

from typing import Any

import httpx

NOBODYS = "00000000-0000-4000-8000-000000000000"


SUBMIT = "/api/extraction/submit"


STATE_KEYS = {"id", "status", "result", "error", "confidence", "processingTime", "createdAt", "completedAt"}


ROUTES = [
    ("POST", SUBMIT),
    ("GET", f"/api/extraction/status/{NOBODYS}"),
    ("POST", f"/api/extraction/retry/{NOBODYS}"),
    ("POST", f"/api/extraction/cancel/{NOBODYS}"),
    ("GET", "/api/extraction/jobs"),
    ("GET", "/api/extraction/quota"),
]


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The body of an error, which says no more than it should."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    body: dict[str, Any] = answer.json()
    assert set(body) == ({"error", "code", "resetAt"} if status == 429 else {"error", "code"})
    assert body["code"] == code
    assert body["error"].endswith(".")
    assert "\n" not in body["error"]
    assert "Traceback" not in answer.text
    return body

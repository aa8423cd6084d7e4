"""A route to try tokens on, and its refusal."""

from __future__ import annotations

import httpx

QUOTA = "/api/extraction/quota"


def assert_refused(answer: httpx.Response) -> str:
    assert answer.status_code == 401, answer.text
    assert answer.headers["www-authenticate"].startswith("Bearer")
    body = answer.json()
    assert (set(body), body["code"]) == ({"error", "code"}, "UNAUTHORIZED")
    return str(body["error"])

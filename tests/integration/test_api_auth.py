"""Who gets in with a token that was signed with a secret, and who does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import UUID

import httpx
import pytest

from jobqueue import InvalidInputError, Settings
from jobqueue.api import create_app
from jobqueue.settings import load_settings
from tests.api_server import SECRET, api_client, bearer, token, with_secret
from tests.forged_tokens import REFUSED, USER
from tests.integration.token_answers import QUOTA, assert_refused


@pytest.fixture
def api(settings: Settings) -> Iterator[httpx.Client]:
    with api_client(with_secret(settings)) as client:
        yield client


def test_a_genuine_token_is_let_in(api: httpx.Client, user_id: UUID) -> None:
    assert api.get(QUOTA, headers=bearer(token(user_id))).status_code == 200
    both = token(user_id, aud=["other", "authenticated"])
    assert api.get(QUOTA, headers=bearer(both)).status_code == 200
    lower = {"Authorization": f"bearer {token(user_id)}"}
    assert api.get(QUOTA, headers=lower).status_code == 200


def test_an_issuer_whose_clock_is_ahead_is_borne(api: httpx.Client, user_id: UUID) -> None:
    assert api.get(QUOTA, headers=bearer(token(user_id, iat=int(time.time()) + 30))).status_code == 200


def test_every_other_token_is_refused(api: httpx.Client) -> None:
    for name, text in REFUSED.items():
        answer = api.get(QUOTA, headers=[(b"Authorization", f"Bearer {text}".encode())])
        assert answer.status_code == 401, f"{name}: {answer.text}"
        assert_refused(answer)
        assert 'error="invalid_token"' in answer.headers["www-authenticate"], name
    assert "expired" in assert_refused(api.get(QUOTA, headers=bearer(REFUSED["expired"])))


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic eDp4", token(USER), f"Token {token(USER)}"])
def test_without_a_bearer_token_one_is_asked_for(api: httpx.Client, header: str | None) -> None:
    assert_refused(api.get(QUOTA, headers={} if header is None else {"Authorization": header}))


def test_a_token_in_the_address_is_not_taken(api: httpx.Client, user_id: UUID) -> None:
    assert_refused(api.get(QUOTA, params={"access_token": token(user_id), "token": token(user_id)}))


def test_without_any_key_nothing_is_served(settings: Settings) -> None:
    with pytest.raises(InvalidInputError, match=r"^JOBQUEUE_JWT_SECRET is not set; give .* or JOBQUEUE_JWKS_URL\.$"):
        create_app(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JOBQUEUE_JWT_SECRET", "short"),
        ("JOBQUEUE_JWT_SECRET", "x" * 31),
        ("JOBQUEUE_JWKS_URL", "file:///etc/passwd"),
        ("JOBQUEUE_JWKS_URL", "project.supabase.co"),
    ],
)
def test_a_wrong_key_setting_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInputError, match=f"^{name} is wrong: [^\n]+$") as caught:
        load_settings()
    assert value not in caught.value.message


def test_an_empty_key_setting_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBQUEUE_JWT_SECRET", "")
    monkeypatch.setenv("JOBQUEUE_JWKS_URL", "")
    assert (load_settings().jwt_secret, load_settings().jwks_url) == (None, None)


def test_the_secret_is_in_no_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBQUEUE_JWT_SECRET", SECRET)
    assert SECRET not in f"{load_settings()!r} {load_settings().model_dump_json()}"

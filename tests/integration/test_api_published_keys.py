"""Who gets in with a token that was signed with a key of the issuer, and who does not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from pydantic import SecretStr

from jobqueue import Settings
from jobqueue.api import signing_keys as signing_keys_module
from tests.api_server import SECRET, api_client, bearer, claims, token, with_secret
from tests.forged_tokens import HOUR_AGO, REFUSED, part, signed_by_hand
from tests.integration.token_answers import QUOTA, assert_refused

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


EC_KEY = ec.generate_private_key(ec.SECP256R1())


def public_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class KeyServer:
    """Publishes keys over HTTP, and counts how often it is asked."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.body: bytes | None = None
        self.status = 200
        self.asked = 0
        self.url = ""

    def publish(self, **keys: Any) -> None:
        self.keys = [
            {**json.loads(algorithm_of(key).to_jwk(key.public_key())), "kid": kid, "use": "sig", "alg": name_of(key)}
            for kid, key in keys.items()
        ]

    @contextmanager
    def running(self) -> Iterator[None]:
        keys = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                keys.asked += 1
                body = json.dumps({"keys": keys.keys}).encode() if keys.body is None else keys.body
                self.send_response(keys.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                """Requests are counted, not printed."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_port}/auth/v1/.well-known/jwks.json"
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            yield
            server.shutdown()
            thread.join()


def algorithm_of(key: Any) -> Any:
    return RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm


def name_of(key: Any) -> str:
    return "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"


def signed(key: Any, kid: str, user_id: UUID, **changes: Any) -> str:
    return jwt.encode(claims(user_id, **changes), key, name_of(key), headers={"kid": kid})


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    server = KeyServer()
    server.publish(first=RSA_KEY, second=EC_KEY)
    with server.running():
        yield server


@pytest.fixture
def keyed(settings: Settings, key_server: KeyServer) -> Iterator[httpx.Client]:
    with api_client(settings.model_copy(update={"jwks_url": key_server.url})) as client:
        yield client


def status_with(client: httpx.Client, text: str) -> int:
    return client.get(QUOTA, headers=bearer(text)).status_code


@pytest.mark.parametrize(("key", "kid"), [(RSA_KEY, "first"), (EC_KEY, "second")], ids=["RS256", "ES256"])
def test_a_token_signed_with_a_published_key_is_let_in(keyed: httpx.Client, user_id: UUID, key: Any, kid: str) -> None:
    assert status_with(keyed, signed(key, kid, user_id)) == 200
    for changes in ({"exp": HOUR_AGO}, {"aud": "anon"}, {"sub": None}, {"sub": "me"}, {"exp": None}):
        assert_refused(keyed.get(QUOTA, headers=bearer(signed(key, kid, user_id, **changes))))


def test_a_public_key_is_not_a_secret(settings: Settings, key_server: KeyServer, user_id: UUID) -> None:
    header = {"alg": "HS256", "typ": "JWT", "kid": "first"}
    confused = [
        signed_by_hand(header, claims(user_id), secret)
        for secret in (public_pem(RSA_KEY), public_pem(RSA_KEY).strip(), json.dumps(key_server.keys[0]).encode())
    ]
    for secret in (None, SecretStr(SECRET)):
        changed = settings.model_copy(update={"jwks_url": key_server.url, "jwt_secret": secret})
        with api_client(changed) as client:
            for text in confused:
                assert_refused(client.get(QUOTA, headers=bearer(text)))


def test_a_published_secret_is_not_taken(keyed: httpx.Client, key_server: KeyServer, user_id: UUID) -> None:
    key_server.keys.append({"kty": "oct", "kid": "shared", "k": part(SECRET.encode()), "alg": "HS256"})
    text = jwt.encode(claims(user_id), SECRET, "HS256", headers={"kid": "shared"})
    assert_refused(keyed.get(QUOTA, headers=bearer(text)))
    header = {"alg": "RS256", "kid": "shared"}
    assert_refused(keyed.get(QUOTA, headers=bearer(signed_by_hand(header, claims(user_id), SECRET.encode()))))


def test_keys_are_not_taken_from_the_token(keyed: httpx.Client, user_id: UUID) -> None:
    own = json.loads(RSAAlgorithm.to_jwk(OTHER_RSA_KEY.public_key()))
    for extra in ({"jwk": own}, {"jku": "http://127.0.0.1:1/keys"}, {"x5u": "http://127.0.0.1:1/keys"}):
        text = jwt.encode(claims(user_id), OTHER_RSA_KEY, "RS256", headers={"kid": "first", **extra})
        assert_refused(keyed.get(QUOTA, headers=bearer(text)))


def test_wrong_keys_and_algorithms_are_refused(keyed: httpx.Client, user_id: UUID) -> None:
    for text in (
        signed(OTHER_RSA_KEY, "first", user_id),
        signed(RSA_KEY, "second", user_id),
        signed(EC_KEY, "first", user_id),
        jwt.encode(claims(user_id), RSA_KEY, "RS512", headers={"kid": "first"}),
        jwt.encode(claims(user_id), RSA_KEY, "PS256", headers={"kid": "first"}),
        jwt.encode(claims(user_id), RSA_KEY, "RS256"),
        token(user_id),
        REFUSED["none"],
    ):
        assert_refused(keyed.get(QUOTA, headers=bearer(text)))


def test_both_kinds_of_key_at_once(settings: Settings, key_server: KeyServer, user_id: UUID) -> None:
    both = with_secret(settings).model_copy(update={"jwks_url": key_server.url})
    with api_client(both) as client:
        assert status_with(client, token(user_id)) == 200
        assert key_server.asked == 0
        assert status_with(client, signed(RSA_KEY, "first", user_id)) == 200


def test_the_keys_are_fetched_once_for_many_requests(keyed: httpx.Client, key_server: KeyServer, user_id: UUID) -> None:
    text = signed(RSA_KEY, "first", user_id)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: status_with(keyed, text), range(24))) == {200}
    assert key_server.asked == 1


def test_unknown_key_ids_do_not_make_us_ask_each_time(
    keyed: httpx.Client, key_server: KeyServer, user_id: UUID
) -> None:
    for number in range(10):
        assert_refused(keyed.get(QUOTA, headers=bearer(signed(OTHER_RSA_KEY, f"unknown-{number}", user_id))))
    assert key_server.asked == 1
    assert status_with(keyed, signed(RSA_KEY, "first", user_id)) == 200


def test_a_rotated_key_is_found_and_the_old_one_goes(
    keyed: httpx.Client, key_server: KeyServer, user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status_with(keyed, signed(RSA_KEY, "first", user_id)) == 200
    key_server.publish(third=OTHER_RSA_KEY)
    monkeypatch.setattr(signing_keys_module, "FETCH_PAUSE_SECONDS", 0.0)
    assert status_with(keyed, signed(OTHER_RSA_KEY, "third", user_id)) == 200
    assert key_server.asked == 2
    assert_refused(keyed.get(QUOTA, headers=bearer(signed(RSA_KEY, "first", user_id))))


def test_a_withdrawn_key_is_noticed_when_the_keys_are_no_longer_fresh(
    keyed: httpx.Client, key_server: KeyServer, user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status_with(keyed, signed(RSA_KEY, "first", user_id)) == 200
    key_server.publish(third=OTHER_RSA_KEY)
    assert status_with(keyed, signed(RSA_KEY, "first", user_id)) == 200
    monkeypatch.setattr(signing_keys_module, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(signing_keys_module, "FETCH_PAUSE_SECONDS", 0.0)
    assert_refused(keyed.get(QUOTA, headers=bearer(signed(RSA_KEY, "first", user_id))))


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, None), (200, b"no JSON"), (200, b"[]"), (200, b'{"keys": []}'), (200, b"\xff"), (200, b"[" * 100_000)],
)
def test_keys_that_cannot_be_fetched_are_our_trouble_and_not_the_users(
    settings: Settings,
    key_server: KeyServer,
    user_id: UUID,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    body: bytes | None,
) -> None:
    monkeypatch.setattr(signing_keys_module, "FETCH_PAUSE_SECONDS", 0.0)
    text = signed(RSA_KEY, "first", user_id)
    with api_client(settings.model_copy(update={"jwks_url": key_server.url})) as client:
        key_server.status, key_server.body = status, body
        answer = client.get(QUOTA, headers=bearer(text))
        assert (answer.status_code, answer.json()["code"]) == (503, "QUEUE_UNAVAILABLE")
        key_server.status, key_server.body = 200, None
        assert status_with(client, text) == 200
        # Known keys outlive an outage of the issuer.
        key_server.status, key_server.body = status, body
        monkeypatch.setattr(signing_keys_module, "FRESH_SECONDS", 0.0)
        assert status_with(client, text) == 200
        monkeypatch.setattr(signing_keys_module, "USABLE_SECONDS", 0.0)
        assert status_with(client, text) == 503

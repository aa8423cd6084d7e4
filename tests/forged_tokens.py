"""Tokens that must not be let in, among them such as PyJWT refuses to make."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any
from uuid import uuid4

import jwt

from tests.api_server import SECRET, claims, token

USER = uuid4()


HOUR_AGO = int(time.time()) - 3600


def part(data: bytes | dict[str, Any]) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed_by_hand(header: dict[str, Any] | bytes, payload: dict[str, Any] | bytes, secret: bytes) -> str:
    """What PyJWT refuses to make."""
    signing_input = f"{part(header)}.{part(payload)}"
    return f"{signing_input}.{part(hmac.digest(secret, signing_input.encode(), hashlib.sha256))}"


HS256 = {"alg": "HS256", "typ": "JWT"}


REFUSED = {
    "none": f"{part({'alg': 'none'})}.{part(claims(USER))}.",
    "none in capitals": f"{part({'alg': 'NONE'})}.{part(claims(USER))}.",
    "none with a signature": signed_by_hand({"alg": "none"}, claims(USER), SECRET.encode()),
    "no algorithm": signed_by_hand({"typ": "JWT"}, claims(USER), SECRET.encode()),
    "an algorithm that is no text": signed_by_hand({"alg": ["HS256"]}, claims(USER), SECRET.encode()),
    "another algorithm of the same secret": jwt.encode(claims(USER), SECRET * 2, "HS512"),
    "forged": signed_by_hand(HS256, claims(USER), b"x" * 32),
    "an empty secret": signed_by_hand(HS256, claims(USER), b""),
    "signature cut off": token(USER).rpartition(".")[0] + ".",
    "another payload": ".".join([token(USER).split(".")[0], part(claims(uuid4())), token(USER).split(".")[2]]),
    "expired": token(USER, exp=HOUR_AGO),
    "just expired": token(USER, exp=int(time.time()) - 1),
    "never expires": token(USER, exp=None),
    "expires at no time": signed_by_hand(HS256, {**claims(USER), "exp": "soon"}, SECRET.encode()),
    "expires at infinity": signed_by_hand(HS256, {**claims(USER), "exp": float("inf")}, SECRET.encode()),
    "not valid yet": token(USER, nbf=int(time.time()) + 3600),
    "wrong audience": token(USER, aud="anon"),
    "no audience": token(USER, aud=None),
    "no subject": token(USER, sub=None),
    "a subject that is no UUID": token("me"),
    "an empty subject": token(""),
    "a subject with a NUL": token(f"{USER}\x00"),
    "a subject that is no text": signed_by_hand(HS256, {**claims(USER), "sub": 7}, SECRET.encode()),
    "claims that are no object": signed_by_hand(HS256, b"[]", SECRET.encode()),
    "nested beyond reason": signed_by_hand(b"[" * 20_000, claims(USER), SECRET.encode()),
    "claims nested beyond reason": signed_by_hand(HS256, b"[" * 20_000, SECRET.encode()),
    "a number beyond reason": signed_by_hand(b'{"alg": ' + b"9" * 5000 + b"}", claims(USER), SECRET.encode()),
    "no token at all": "x",
    "three empty parts": "..",
    "four parts": token(USER) + ".x",
    "not base64": "ä.ö.ü",
}

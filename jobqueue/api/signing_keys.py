"""The public keys that tokens are verified with, fetched when needed and kept."""

from __future__ import annotations

import logging
import threading
import time

import jwt

from jobqueue.errors import QueueUnavailableError

log = logging.getLogger(__name__)

ASYMMETRIC = ("RS256", "ES256")
FRESH_SECONDS = 300.0
# Anybody can send tokens with key ids that do not exist; they must not make us ask the issuer each time.
FETCH_PAUSE_SECONDS = 10.0
# While the issuer cannot be reached, its last keys are good for so long.
USABLE_SECONDS = 3_600.0
FETCH_TIMEOUT_SECONDS = 5.0


class SigningKeys:
    """The keys at ``url`` by id. Thread-safe; a new key is found within ``FETCH_PAUSE_SECONDS``."""

    def __init__(self, url: str) -> None:
        self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=FETCH_TIMEOUT_SECONDS)
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")

    def find(self, kid: str) -> jwt.PyJWK | None:
        """The key, or ``None`` if there is none with this id; raises ``QueueUnavailableError`` without any keys."""
        key = self._keys.get(kid)
        if key is not None and self._age() < FRESH_SECONDS:
            return key
        with self._lock:
            if time.monotonic() - self._tried_at >= FETCH_PAUSE_SECONDS:
                self._fetch()
        if self._age() > USABLE_SECONDS:
            raise QueueUnavailableError("The keys at JOBQUEUE_JWKS_URL cannot be fetched; try again in a moment.")
        return self._keys.get(kid)

    def _age(self) -> float:
        return time.monotonic() - self._fetched_at

    def _fetch(self) -> None:
        try:
            keys = {key.key_id: key for key in self._client.get_signing_keys() if key.key_id is not None}
        # What the issuer answers may be cut off or no JSON at all.
        except (jwt.PyJWTError, OSError, ValueError, RecursionError) as error:
            log.warning("The keys at JOBQUEUE_JWKS_URL could not be fetched (%s).", type(error).__name__)
        else:
            self._keys, self._fetched_at = keys, time.monotonic()
        self._tried_at = time.monotonic()

"""Who is calling: access tokens as Supabase issues them."""

from __future__ import annotations

from uuid import UUID

import jwt

from jobqueue.api.signing_keys import ASYMMETRIC, SigningKeys
from jobqueue.arguments import checked_uuid
from jobqueue.errors import InvalidInputError
from jobqueue.settings import Settings

AUDIENCE = "authenticated"
SYMMETRIC = "HS256"


class TokenRefusedError(Exception):
    """The token proves nothing; the text says what its bearer can do."""


class TokenVerifier:
    """Verifies signature, expiry and audience. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        """Raises ``InvalidInputError`` when the settings name neither a secret nor public keys."""
        if settings.jwt_secret is None and settings.jwks_url is None:
            raise InvalidInputError(
                "JOBQUEUE_JWT_SECRET is not set; give the JWT secret of the Supabase project, or JOBQUEUE_JWKS_URL.",
                setting="JOBQUEUE_JWT_SECRET",
            )
        self._secret = None if settings.jwt_secret is None else settings.jwt_secret.get_secret_value()
        self._keys = None if settings.jwks_url is None else SigningKeys(settings.jwks_url)

    def user_id(self, token: str) -> UUID:
        """The user that the token was issued to.

        Raises ``TokenRefusedError``, and ``QueueUnavailableError`` when the public keys cannot be had.
        """
        try:
            algorithm, key = self._key_for(jwt.get_unverified_header(token))
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=AUDIENCE,
                # The issuer's clock may be ahead of ours: a token that was just issued is good.
                options={"require": ["exp", "sub", "aud"], "verify_iat": False},
            )
            return checked_uuid(claims["sub"], "sub")
        except jwt.ExpiredSignatureError:
            raise TokenRefusedError("The token has expired; sign in again.") from None
        except (jwt.PyJWTError, InvalidInputError):
            raise TokenRefusedError("The token is not valid here; sign in again.") from None

    def _key_for(self, header: dict[str, object]) -> tuple[str, str | jwt.PyJWK]:
        """The algorithm and the key of its own kind: a public key is never taken for a secret."""
        algorithm = header.get("alg")
        if algorithm == SYMMETRIC and self._secret is not None:
            return SYMMETRIC, self._secret
        if algorithm in ASYMMETRIC and self._keys is not None:
            key = self._keys.find(str(header.get("kid")))
            if key is not None:
                return str(algorithm), key
        raise TokenRefusedError("The token is not signed with a key that is known here; sign in again.")

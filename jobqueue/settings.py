"""Settings from the environment and a ``.env`` file; a wrong or missing one is a single line that names it."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from jobqueue.errors import InvalidInputError

MEGABYTE = 1_000_000
MAX_RETENTION_DAYS = 36_500


class Settings(BaseSettings):
    """All settings. Times are seconds, sizes bytes. Secrets are hidden in ``repr`` and logs."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, populate_by_name=True)

    database_url: SecretStr | None = Field(None, validation_alias="DATABASE_URL")
    redis_url: SecretStr | None = Field(None, validation_alias="REDIS_URL")
    celery_broker_url: SecretStr | None = Field(None, validation_alias="CELERY_BROKER_URL")
    notifier_database_url: SecretStr | None = Field(None, validation_alias="JOBQUEUE_NOTIFIER_DATABASE_URL")
    """A direct (or session-mode) address for the notifier where DATABASE_URL leads to a transaction-mode pooler."""

    extractor: str = Field("ocr", validation_alias="JOBQUEUE_EXTRACTOR")

    llm_model: str | None = Field(None, validation_alias="JOBQUEUE_LLM_MODEL")
    """``provider:name`` as pydantic-ai spells it; needed by the extractors ``llm`` and ``hybrid``."""
    llm_base_url: str | None = Field(None, validation_alias="JOBQUEUE_LLM_BASE_URL")
    """Where the provider's API is served, if not at the provider's own address."""
    llm_api_key: SecretStr | None = Field(None, validation_alias="JOBQUEUE_LLM_API_KEY")
    llm_timeout: float = Field(90.0, gt=0, le=1800, validation_alias="JOBQUEUE_LLM_TIMEOUT")
    """How long a model may take over one picture, a repair of its answer included."""
    hybrid_threshold: float = Field(0.8, ge=0, le=1, validation_alias="JOBQUEUE_HYBRID_THRESHOLD")
    """The extractor ``hybrid`` asks the model where the OCR is less confident than this."""

    private_image_hosts: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(), validation_alias="JOBQUEUE_PRIVATE_IMAGE_HOSTS"
    )
    """Host names or addresses, comma separated, that pictures may be fetched from although they are not public.

    Each is compared exactly with the host in the picture's address (``minio.internal``, ``10.0.0.5``, ``[::1]``)
    and may name a port (``minio.internal:9000``), which then has to be the same. A cloud's metadata service stays
    closed to host names; only its own address opens it.
    """
    fetch_timeout: float = Field(30.0, gt=0, le=300, validation_alias="JOBQUEUE_FETCH_TIMEOUT")
    max_image_bytes: int = Field(20 * MEGABYTE, gt=0, validation_alias="JOBQUEUE_MAX_IMAGE_BYTES")
    # Above 89 megapixels Pillow's own guard would answer first.
    max_image_pixels: int = Field(50_000_000, gt=0, le=89_000_000, validation_alias="JOBQUEUE_MAX_IMAGE_PIXELS")

    lease_seconds: float = Field(10.0, ge=1, le=3600, validation_alias="JOBQUEUE_LEASE_SECONDS")
    time_limit: int = Field(120, ge=5, le=1800, validation_alias="JOBQUEUE_TIME_LIMIT")
    """How long one attempt may take before it is stopped and counted as a transient failure."""
    soft_shutdown_seconds: float = Field(20.0, ge=1, le=3600, validation_alias="JOBQUEUE_SOFT_SHUTDOWN_SECONDS")
    """How long a worker that gets SIGQUIT lets its jobs go on before it puts them back."""
    retry_backoff: float = Field(2.0, gt=0, le=600, validation_alias="JOBQUEUE_RETRY_BACKOFF")
    """Upper bound of the wait before the first automatic retry; it doubles with each further one."""

    retention_days: int | None = Field(None, ge=1, le=MAX_RETENTION_DAYS, validation_alias="JOBQUEUE_RETENTION_DAYS")
    """How long finished jobs are kept. Without it nothing is deleted: a queue does not throw away users' results."""

    flower_user: str = Field("operator", validation_alias="JOBQUEUE_FLOWER_USER")
    flower_password: SecretStr | None = Field(None, validation_alias="JOBQUEUE_FLOWER_PASSWORD")

    jwt_secret: SecretStr | None = Field(None, validation_alias="JOBQUEUE_JWT_SECRET")
    """What Supabase signs HS256 tokens with; the HTTP API needs this or ``jwks_url``, and takes both."""
    jwks_url: str | None = Field(None, validation_alias="JOBQUEUE_JWKS_URL")
    """Where Supabase publishes the public keys of its RS256 and ES256 tokens."""

    @field_validator("private_image_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: Any) -> Any:
        if isinstance(value, str):
            return frozenset(part.strip().lower() for part in value.split(",") if part.strip())
        return value

    @field_validator(
        "celery_broker_url",
        "jwt_secret",
        "jwks_url",
        "llm_model",
        "llm_base_url",
        "llm_api_key",
        "retention_days",
        mode="before",
    )
    @classmethod
    def _empty_is_not_given(cls, value: Any) -> Any:
        # Compose files pass variables on empty, and Celery takes an empty address for a RabbitMQ on this machine.
        return value or None

    @field_validator("database_url", "notifier_database_url")
    @classmethod
    def _is_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must begin with postgresql:// or postgres://")
        _refuse_a_wrong_port(value)
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _is_long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        # RFC 7518: an HS256 key has at least the 32 bytes of its hash; a shorter one can be guessed from one token.
        if value is not None and len(value.get_secret_value().encode()) < 32:
            raise ValueError("must be at least 32 bytes long; copy the whole JWT secret of the project")
        return value

    @field_validator("jwks_url", "llm_base_url")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("https://", "http://")):
            raise ValueError("must begin with https:// or http://")
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        _refuse_a_wrong_port(value)
        return value

    @cached_property
    def required_database_url(self) -> str:
        """The Postgres URL; raises ``InvalidInputError`` when it is not set."""
        return _required(self.database_url, "DATABASE_URL", "postgresql://user:password@host:5432/database")

    @cached_property
    def required_redis_url(self) -> str:
        """The Redis URL; raises ``InvalidInputError`` when it is not set."""
        return _required(self.redis_url, "REDIS_URL", "redis://host:6379/0")

    @cached_property
    def notifier_url(self) -> str:
        """Where the notifier listens: ``JOBQUEUE_NOTIFIER_DATABASE_URL``, else ``DATABASE_URL``."""
        if self.notifier_database_url is not None:
            return self.notifier_database_url.get_secret_value()
        return self.required_database_url

    @cached_property
    def broker_url(self) -> str:
        """Where Celery's messages go: ``CELERY_BROKER_URL``, else ``REDIS_URL``."""
        if self.celery_broker_url is not None:
            return self.celery_broker_url.get_secret_value()
        return self.required_redis_url


def _refuse_a_wrong_port(value: SecretStr | None) -> None:
    try:
        _ = None if value is None else urlsplit(value.get_secret_value()).port
    except ValueError:
        # Not the driver's words, which may quote a part of the password.
        raise ValueError("its port is not a number; special characters in a password must be percent-encoded") from None


def _required(value: SecretStr | None, name: str, example: str) -> str:
    if value is None:
        raise InvalidInputError(f"{name} is not set; give it as {example}.", setting=name)
    return value.get_secret_value()


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; raises ``InvalidInputError`` with one line that names what is wrong."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        reason = first["msg"].removeprefix("Value error, ")
        raise InvalidInputError(f"{name} is wrong: {reason}.", setting=name) from None

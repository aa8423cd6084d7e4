"""The only door to Postgres: URL, engine, transactions, and the translation of driver errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg2
from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from jobqueue.answer_deadline import cut_off_after
from jobqueue.errors import (
    InvalidInputError,
    InvalidResultError,
    InvalidStatusError,
    JobNotFoundError,
    JobQueueError,
    QueueUnavailableError,
    UserNotFoundError,
)

T = TypeVar("T")
SessionFactory = Callable[[], Session]

CONNECT_TIMEOUT_SECONDS = 5
# A submission that waited for another must see what that one committed: at a stricter level it would not, and without
# a transaction around its statements it would not have waited.
READ_COMMITTED = "READ COMMITTED"
# Without keepalives a connection whose other end vanished without a reset hangs for hours; they rest while something
# sent waits for its acknowledgement, where the user timeout (milliseconds) holds instead.
KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


def psycopg2_url(url: str) -> Any:
    """The SQLAlchemy URL for a plain ``postgres://`` or ``postgresql://`` one, which always means psycopg2 here."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number, often from an unescaped password
        raise InvalidInputError(
            "DATABASE_URL is wrong: give it as postgresql://user:password@host:5432/database.", setting="DATABASE_URL"
        ) from None
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise InvalidInputError("DATABASE_URL is wrong: it must begin with postgresql://.", setting="DATABASE_URL")
    return parsed.set(drivername="postgresql+psycopg2")


def create_database_engine(url: str, *, application_name: str = "menu-jobqueue", **options: Any) -> Engine:
    """An engine for ``url``; ``options`` go to SQLAlchemy's ``create_engine``, ``connect_args`` beside our own."""
    connect_args: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "application_name": application_name,
        **KEEPALIVE,
        **options.pop("connect_args", {}),
    }
    return create_engine(psycopg2_url(url), connect_args=connect_args, **options)


class Database:
    """Runs work in a transaction of its own or in the caller's."""

    def __init__(self, bind: Engine | SessionFactory) -> None:
        self._bind = bind.execution_options(isolation_level=READ_COMMITTED) if isinstance(bind, Engine) else bind
        # Shares the pool; a single statement needs no BEGIN and COMMIT around it, which are round trips.
        self._autocommit = bind.execution_options(isolation_level="AUTOCOMMIT") if isinstance(bind, Engine) else bind

    def run(self, work: Callable[[Connection], T], session: Session | None = None) -> T:
        """Return ``work(connection)``, committed; with ``session`` the caller commits.

        Raises ``JobQueueError`` subclasses only. Work in a transaction of our own is begun once more when the pool
        handed out a connection that the server had closed in the meantime: nothing was written by then.
        """
        if session is not None:
            return self._join(work, session)
        return self._twice_if_stale(work, self._bind)

    def statement(self, work: Callable[[Connection], T], within: float | None = None) -> T:
        """The same for work that is one statement: it commits by itself, without a transaction around it.

        When the connection breaks before the answer arrives, nobody knows whether the statement took effect, and it is
        executed once more: only for statements that bear this. ``within`` so many seconds an answer must come, or the
        connection is taken for dead; without it a connection whose other end vanished may keep the caller for minutes.
        """
        if within is None:
            return self._twice_if_stale(work, self._autocommit)

        def in_time(connection: Connection) -> T:
            with cut_off_after(connection, within):
                return work(connection)

        return self._twice_if_stale(in_time, self._autocommit)

    def _twice_if_stale(self, work: Callable[[Connection], T], bind: Engine | SessionFactory) -> T:
        with translated_errors():
            try:
                return self._own(work, bind)
            except _StaleConnectionError:
                return self._own(work, bind)

    def _own(self, work: Callable[[Connection], T], bind: Engine | SessionFactory) -> T:
        outcomes: list[T] = []
        try:
            with self._transaction(bind) as connection:
                try:
                    outcomes.append(work(connection))
                except DBAPIError as error:
                    if error.connection_invalidated:
                        raise _StaleConnectionError from error
                    raise
        except psycopg2.Error as error:
            # Bare only where the connection broke on its way out of the pool or back into it, there after the commit.
            # SQLAlchemy then forgets to free its place, and with enough of them the pool would be full for ever.
            if not outcomes:
                raise _StaleConnectionError from error
            if isinstance(bind, Engine):
                bind.dispose()
        return outcomes[0]

    @staticmethod
    @contextmanager
    def _transaction(bind: Engine | SessionFactory) -> Iterator[Connection]:
        if isinstance(bind, Engine):
            with bind.begin() as connection:
                yield connection
        else:
            with bind() as session, session.begin():
                yield session.connection(execution_options=_isolation(session))

    @staticmethod
    def _join(work: Callable[[Connection], T], session: Session) -> T:
        # The savepoint keeps the caller's transaction usable after an error of ours.
        with translated_errors(), session.begin_nested():
            return work(session.connection())


def _isolation(session: Session) -> dict[str, Any]:
    """The same level for an application's session factory; one bound to a connection is in a transaction already."""
    return {"isolation_level": READ_COMMITTED} if isinstance(session.get_bind(), Engine) else {}


class _StaleConnectionError(Exception):
    """The connection was gone before anything was committed."""


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn every driver and pool error into one of this library's."""
    try:
        yield
    except JobQueueError:
        raise
    except _StaleConnectionError as error:
        raise unavailable(error.__cause__) from None
    except DBAPIError as error:
        raise translate(error) from None
    except StatementError:
        raise InvalidInputError("A value cannot be stored as it is.") from None
    except PoolTimeoutError:
        raise QueueUnavailableError("All database connections are in use; try again in a moment.") from None
    except SQLAlchemyError as error:
        raise QueueUnavailableError(f"The database call failed ({type(error).__name__}).") from None


_BY_CONSTRAINT: dict[str, Callable[[], JobQueueError]] = {
    "menu_extraction_jobs_user_id_fkey": lambda: UserNotFoundError("There is no user with this id."),
    "idx_menu_extraction_jobs_retry_of": lambda: InvalidStatusError("The job was retried already."),
    # Pruned or deleted after this call had read it.
    "menu_extraction_jobs_retry_of_fkey": lambda: JobNotFoundError("There is no such job."),
    "extraction_feedback_job_id_fkey": lambda: JobNotFoundError("There is no such job."),
    "menu_extraction_submitters_user_id_fkey": lambda: UserNotFoundError("There is no user with this id."),
    "menu_extraction_jobs_finished_is_final": lambda: InvalidStatusError("The job is already finished."),
    "menu_extraction_jobs_completed_has_result": lambda: InvalidResultError("A completed job needs a result."),
    "menu_extraction_jobs_confidence_in_range": lambda: InvalidInputError("The confidence must lie between 0 and 1."),
    "menu_extraction_jobs_processing_time_not_negative": lambda: InvalidInputError(
        "The processing time must not be negative."
    ),
}

_NOT_MIGRATED = "The database is not migrated; run `jobqueue migrate`."
_COLLIDED = "Another transaction was in the way; begin the transaction again."
_BY_STATE = {
    "42P01": _NOT_MIGRATED,
    "42883": _NOT_MIGRATED,
    "42703": _NOT_MIGRATED,
    "40001": _COLLIDED,
    "40P01": _COLLIDED,
    "55P03": "A long transaction keeps a table of the queue locked; end it and try again.",
    "57014": "The database call ran into the statement timeout; try again, or raise the timeout.",
    "42501": "The database user lacks the rights for this call.",
}


def translate(error: DBAPIError) -> JobQueueError:
    """The typed error for a driver's; texts of the driver are left out because they quote values and addresses."""
    state: str | None = getattr(error.orig, "pgcode", None)
    diagnostics = getattr(error.orig, "diag", None)
    constraint: str | None = getattr(diagnostics, "constraint_name", None)
    if constraint in _BY_CONSTRAINT:
        return _BY_CONSTRAINT[constraint]()
    if state in _BY_STATE:
        return QueueUnavailableError(_BY_STATE[state], sqlstate=state)
    if state is not None and state[:2] in ("22", "23"):
        return InvalidInputError("The database refused a value as malformed.", sqlstate=state, constraint=constraint)
    unknown_option = "invalid dsn" in str(error.orig)
    if isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated or unknown_option:
        return unavailable(error)
    return QueueUnavailableError("The database refused the call.", sqlstate=state)


# What libpq says, in lower case, and what to do about it.
_BY_TEXT = {
    "password authentication failed": "Postgres refused the user or password; check DATABASE_URL.",
    "no password supplied": "Postgres refused the user or password; check DATABASE_URL.",
    "database .* does not exist": "The database in DATABASE_URL does not exist; create it or correct the name.",
    "could not translate host name": "The host in DATABASE_URL is unknown; check its name.",
    "connection refused": "Nothing answers at the address in DATABASE_URL; check host and port and that Postgres runs.",
    "certificate": "Postgres's TLS certificate is not trusted; check host, sslmode and sslrootcert in DATABASE_URL.",
    "server does not support ssl": "Postgres does not speak TLS, which sslmode in DATABASE_URL asks for.",
    "invalid (dsn|sslmode)": "DATABASE_URL names an option that Postgres does not know; check its part behind the '?'.",
}


def unavailable(error: BaseException | None) -> QueueUnavailableError:
    """The error for a connection that failed with ``error``, whose text quotes addresses and is left out."""
    text = str(getattr(error, "orig", error) or "").lower()
    known = (sentence for pattern, sentence in _BY_TEXT.items() if re.search(pattern, text))
    return QueueUnavailableError(
        next(known, "Postgres could not be reached or cut the connection; try again in a moment.")
    )

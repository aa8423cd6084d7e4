"""The tables, as SQLAlchemy models. Functions and triggers lie in ``jobqueue/sql``."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    SmallInteger,
    String,
    Text,
    false,
    func,
    text,
)
from sqlalchemy import Column as CoreColumn
from sqlalchemy import Table as CoreTable
from sqlalchemy.dialects.postgresql import JSONB, REAL
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "%(table_name)s_%(constraint_name)s",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

# On Supabase this table is the platform's own; only its key concerns this library.
auth_users = CoreTable("users", metadata, CoreColumn("id", PG_UUID(as_uuid=True), primary_key=True), schema="auth")


class Base(DeclarativeBase):
    metadata = metadata


class Profile(Base):
    """A user's plan and the limits that override the plan's defaults."""

    __tablename__ = "profiles"

    id: Mapped[UUID] = mapped_column(ForeignKey("auth.users.id", ondelete="CASCADE"), primary_key=True)
    plan: Mapped[str | None] = mapped_column(Text, server_default="free")
    plan_limits: Mapped[dict[str, Any] | None] = mapped_column(JSONB)

    # Tells a table made by the migrations from the platform's own.
    __table_args__ = {"comment": "created by menu-jobqueue"}  # noqa: RUF012 - SQLAlchemy reads it, nobody changes it


class MenuExtractionJob(Base):
    """The record of a job. ``attempt`` is the fencing token: a worker writes only while it is still its own.

    It only ever grows. ``uncharged_attempts`` counts those that were given back by a worker that was asked to stop; the
    cap on attempts leaves them out.
    """

    __tablename__ = "menu_extraction_jobs"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("auth.users.id", ondelete="CASCADE"))
    image_url: Mapped[str] = mapped_column(Text)
    image_hash: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(20), server_default="queued")
    schema_version: Mapped[str] = mapped_column(String(20), server_default="stage1")
    prompt_version: Mapped[str] = mapped_column(String(50), server_default="v1.0")
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    error_message: Mapped[str | None] = mapped_column(Text)
    error_code: Mapped[str | None] = mapped_column(String(50))
    processing_time: Mapped[int | None]
    retry_count: Mapped[int] = mapped_column(server_default="0")
    token_usage: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    confidence: Mapped[float | None] = mapped_column(REAL)
    uncertain_items: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    superfluous_text: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())
    completed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    attempt: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    uncharged_attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    run_after: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())
    started_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    lease_expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    worker: Mapped[str | None] = mapped_column(Text)
    event_seq: Mapped[int] = mapped_column(server_default="1")
    retry_of: Mapped[UUID | None] = mapped_column(ForeignKey("menu_extraction_jobs.id", ondelete="SET NULL"))
    cancel_requested_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    __table_args__ = (
        CheckConstraint("status IN ('queued', 'processing', 'completed', 'failed')", name="status_exists"),
        CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence_in_range"),
        CheckConstraint("retry_count >= 0", name="retry_count_not_negative"),
        CheckConstraint("processing_time >= 0", name="processing_time_not_negative"),
        CheckConstraint("attempt >= 0", name="attempt_not_negative"),
        CheckConstraint("uncharged_attempts >= 0", name="uncharged_attempts_not_negative"),
        CheckConstraint("status <> 'completed' OR result IS NOT NULL", name="completed_has_result"),
        CheckConstraint(
            "(status IN ('completed', 'failed')) = (completed_at IS NOT NULL)", name="finished_has_completed_at"
        ),
        Index("idx_menu_extraction_jobs_user_id", "user_id", text("created_at DESC"), text("id DESC")),
        Index(
            "idx_menu_extraction_jobs_image_hash",
            "user_id",
            "image_hash",
            "schema_version",
            "prompt_version",
            text("created_at DESC"),
            postgresql_where=text("image_hash IS NOT NULL"),
        ),
        # Partial: finished jobs, the bulk of the table, are never looked up by status.
        Index("idx_menu_extraction_jobs_queued", "run_after", postgresql_where=text("status = 'queued'")),
        # Unique, so that two simultaneous retries cannot both make a job, whatever else fails.
        Index(
            "idx_menu_extraction_jobs_retry_of", "retry_of", unique=True, postgresql_where=text("retry_of IS NOT NULL")
        ),
        Index("idx_menu_extraction_jobs_leases", "lease_expires_at", postgresql_where=text("status = 'processing'")),
        # For pruning, which begins with the oldest.
        Index(
            "idx_menu_extraction_jobs_finished",
            "created_at",
            "id",
            postgresql_where=text("completed_at IS NOT NULL"),
        ),
    )


class MenuExtractionJobEvent(Base):
    """A status change: history of the job and outbox of the notifier at once.

    ``cursor`` is empty until the notifier has put the event into the one order that all subscribers see.
    """

    __tablename__ = "menu_extraction_job_events"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("menu_extraction_jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    user_id: Mapped[UUID]
    status: Mapped[str] = mapped_column(String(20))
    attempt: Mapped[int] = mapped_column(SmallInteger)
    confidence: Mapped[float | None] = mapped_column(REAL)
    worker: Mapped[str | None] = mapped_column(Text)
    error_code: Mapped[str | None] = mapped_column(String(50))
    error_message: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    cursor: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        Index("idx_menu_extraction_job_events_pending", "id", postgresql_where=text("cursor IS NULL")),
        Index("idx_menu_extraction_job_events_cursor", "cursor", unique=True),
        Index(
            "idx_menu_extraction_job_events_user_cursor",
            "user_id",
            "cursor",
            postgresql_where=text("cursor IS NOT NULL"),
        ),
    )


class MenuExtractionSubmitter(Base):
    """One row a user, locked while that user's submissions are counted."""

    __tablename__ = "menu_extraction_submitters"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("auth.users.id", ondelete="CASCADE"), primary_key=True)
    locked_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())


class MenuExtractionPrunedEvents(Base):
    """The highest cursor among a user's pruned events; no row while all are kept."""

    __tablename__ = "menu_extraction_pruned_events"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("auth.users.id", ondelete="CASCADE"), primary_key=True)
    cursor: Mapped[int] = mapped_column(BigInteger)


class MenuExtractionRelay(Base):
    """One row: how far the events were numbered and published, and which notifier leads.

    ``term`` grows with every new leader and is the fencing token: only the newest one may write. ``relayed_at`` is when
    the leader last found that everything had gone out, ``swept_at`` when it last looked through the jobs.
    ``installation`` tells the terms of this database from those of another one that uses the same Redis.
    """

    __tablename__ = "menu_extraction_relay"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    last_cursor: Mapped[int] = mapped_column(BigInteger, server_default="0")
    published_cursor: Mapped[int] = mapped_column(BigInteger, server_default="0")
    leader: Mapped[str | None] = mapped_column(Text)
    term: Mapped[int] = mapped_column(BigInteger, server_default="0")
    lead_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    relayed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    swept_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    installation: Mapped[UUID] = mapped_column(server_default=text("gen_random_uuid()"))

    __table_args__ = (
        CheckConstraint("id = 1", name="one_row"),
        CheckConstraint("published_cursor <= last_cursor", name="published_was_numbered"),
    )


class MenuExtractionWorker(Base):
    """A worker that has said within the last hour that it lives; see ``jobqueue/store/workers.py``."""

    __tablename__ = "menu_extraction_workers"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())
    consuming: Mapped[bool]
    stopping: Mapped[bool] = mapped_column(server_default=false())
    received_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class MenuExtractionSetting(Base):
    """Settings that every process must agree on. ``notify_mode`` is ``every_change`` or ``wake_up``."""

    __tablename__ = "menu_extraction_settings"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[str] = mapped_column(Text)

    __table_args__ = (
        CheckConstraint("name <> 'notify_mode' OR value IN ('every_change', 'wake_up')", name="value_is_known"),
    )


class ExtractionFeedbackRow(Base):
    """What a user said of one of their extractions, or of one dish in it."""

    __tablename__ = "extraction_feedback"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))
    job_id: Mapped[UUID] = mapped_column(ForeignKey("menu_extraction_jobs.id", ondelete="CASCADE"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("auth.users.id", ondelete="CASCADE"))
    feedback_type: Mapped[str] = mapped_column(String(20))
    item_id: Mapped[str | None] = mapped_column(String(200))
    correction_made: Mapped[bool] = mapped_column(server_default=false())
    comment: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())

    __table_args__ = (
        CheckConstraint(
            "feedback_type IN ('system_error', 'menu_unclear', 'excellent', 'needs_improvement')",
            name="feedback_type_exists",
        ),
        Index("idx_extraction_feedback_job_id", "job_id", "created_at"),
        Index("idx_extraction_feedback_user_id", "user_id"),
    )


JOBS = cast(CoreTable, MenuExtractionJob.__table__)
EVENTS = cast(CoreTable, MenuExtractionJobEvent.__table__)
PRUNED = cast(CoreTable, MenuExtractionPrunedEvents.__table__)
RELAY = cast(CoreTable, MenuExtractionRelay.__table__)
WORKERS = cast(CoreTable, MenuExtractionWorker.__table__)
FEEDBACK = cast(CoreTable, ExtractionFeedbackRow.__table__)

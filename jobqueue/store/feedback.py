"""Storing what users say of their extractions, and reading the figures of each prompt version."""

from __future__ import annotations

from datetime import UTC
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, select, text

from jobqueue.errors import InvalidStatusError
from jobqueue.quality import ExtractionFigures, Feedback, FeedbackType
from jobqueue.store.lookup import current_job
from jobqueue.tables import FEEDBACK

_FIGURES = text("SELECT * FROM menu_extraction_quality ORDER BY prompt_version, schema_version")


def add_feedback(connection: Connection, job_id: UUID, user_id: UUID, said: dict[str, Any]) -> Feedback:
    """Raises ``JobNotFoundError``, and ``InvalidStatusError`` while there is nothing yet to speak of."""
    job = current_job(connection, job_id, user_id)
    if not job.is_finished:
        raise InvalidStatusError("Feedback is for finished jobs; wait for this one.", status=job.status.value)
    values = {"job_id": job_id, "user_id": user_id, **said}
    return _feedback(connection.execute(insert(FEEDBACK).values(values).returning(*FEEDBACK.c)).one())


def feedback_on(connection: Connection, job_id: UUID, user_id: UUID | None = None) -> list[Feedback]:
    query = select(*FEEDBACK.c).where(FEEDBACK.c.job_id == job_id)
    if user_id is not None:
        query = query.where(FEEDBACK.c.user_id == user_id)
    return [_feedback(row) for row in connection.execute(query.order_by(FEEDBACK.c.created_at, FEEDBACK.c.id))]


def extraction_figures(connection: Connection) -> list[ExtractionFigures]:
    return [_figures(dict(row)) for row in connection.execute(_FIGURES).mappings()]


def _feedback(row: Any) -> Feedback:
    values = row._mapping
    return Feedback(
        **{
            **values,
            "feedback_type": FeedbackType(row.feedback_type),
            "created_at": row.created_at.astimezone(UTC),
        }
    )


def _figures(values: dict[str, Any]) -> ExtractionFigures:
    for tokens in ("input_tokens", "output_tokens"):
        values[tokens] = None if values[tokens] is None else round(values[tokens])
    return ExtractionFigures(**values)

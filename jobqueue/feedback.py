"""The API for quality over time: users' feedback and the figures of each prompt version."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from jobqueue.arguments import checked_uuid
from jobqueue.database import SessionFactory
from jobqueue.quality import (
    ExtractionFigures,
    Feedback,
    FeedbackType,
    checked_comment,
    checked_correction_made,
    checked_feedback_type,
    checked_item_id,
)
from jobqueue.resources import open_database
from jobqueue.settings import Settings, load_settings
from jobqueue.store.feedback import add_feedback, extraction_figures, feedback_on


class ExtractionFeedback:
    """Takes what users say of their extractions and tells how well each prompt version does.

    Opened like a ``JobQueueManager``; thread-safe. Raises ``JobQueueError`` subclasses only.
    """

    def __init__(
        self, engine_or_session_factory: Engine | SessionFactory | None = None, *, settings: Settings | None = None
    ) -> None:
        self._database, self._own_engine = open_database(engine_or_session_factory, settings or load_settings())

    def give(
        self,
        job_id: UUID | str,
        user_id: UUID | str,
        feedback_type: FeedbackType | str,
        *,
        item_id: str | None = None,
        correction_made: bool = False,
        comment: str | None = None,
        session: Session | None = None,
    ) -> Feedback:
        """Store one remark of the user on one of their finished jobs; several on one job are kept side by side.

        ``correction_made`` says that the user had to change the result; it counts in the correction rate. With
        ``session`` the caller commits. Raises ``JobNotFoundError`` (somebody else's job too), ``InvalidStatusError``
        for an unfinished job, ``InvalidInputError``.
        """
        job, user = checked_uuid(job_id, "job_id"), checked_uuid(user_id, "user_id")
        said = {
            "feedback_type": checked_feedback_type(feedback_type).value,
            "item_id": checked_item_id(item_id),
            "correction_made": checked_correction_made(correction_made),
            "comment": checked_comment(comment),
        }
        return self._database.run(lambda connection: add_feedback(connection, job, user, said), session)

    def on_job(self, job_id: UUID | str, user_id: UUID | str | None = None) -> list[Feedback]:
        """What was said of the job, in order; empty for an unknown job and, with ``user_id``, for somebody else's."""
        job = checked_uuid(job_id, "job_id")
        user = None if user_id is None else checked_uuid(user_id, "user_id")
        return self._database.statement(lambda connection: feedback_on(connection, job, user))

    def figures(self) -> list[ExtractionFigures]:
        """The figures of each prompt and schema version over everybody's jobs that are still kept.

        For operators: it reads the whole table.
        """
        return self._database.statement(extraction_figures)

    def close(self) -> None:
        """Close the connections opened here."""
        if self._own_engine is not None:
            self._own_engine.dispose()

"""What is asked for, checked; and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jobqueue.arguments import checked_image_hash, checked_image_url, checked_prompt_version
from jobqueue.errors import InvalidInputError
from jobqueue.menu_result import check_schema_version

_KEYS = frozenset({"image_url", "image_hash", "schema_version", "prompt_version", "force"})


@dataclass(frozen=True, slots=True)
class Submission:
    """One picture to extract. ``image_hash`` is ``None`` until the picture has been fetched and hashed."""

    image_url: str
    image_hash: str | None
    schema_version: str
    prompt_version: str
    force: bool

    @property
    def key(self) -> tuple[str | None, str, str]:
        """Within one user, submissions with the same key ask for the same extraction."""
        return (self.image_hash, self.schema_version, self.prompt_version)


def checked_submission(
    image_url: Any, image_hash: Any, schema_version: Any, prompt_version: Any, force: Any
) -> Submission:
    """Raises ``InvalidInputError`` for what is malformed."""
    if not isinstance(force, bool):
        raise InvalidInputError("force must be true or false.", argument="force")
    return Submission(
        image_url=checked_image_url(image_url),
        image_hash=None if image_hash is None else checked_image_hash(image_hash),
        schema_version=check_schema_version(schema_version),
        prompt_version=checked_prompt_version(prompt_version),
        force=force,
    )


def checked_submissions(value: Any) -> Iterable[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InvalidInputError("submissions must be a list of addresses or mappings.", argument="submissions")
    return value


def checked_entry(entry: Any, defaults: Mapping[str, Any]) -> Submission:
    """A submission from an address or a mapping of ``submit_job``'s arguments, completed from ``defaults``."""
    given = {"image_url": entry} if isinstance(entry, str) else entry
    if not isinstance(given, Mapping):
        raise InvalidInputError("A submission must be an address or a mapping with image_url.", argument="submissions")
    unknown = [str(key) for key in given if key not in _KEYS]
    if unknown:
        raise InvalidInputError(f"A submission has no {unknown[0][:50]!r}.", argument="submissions")
    merged = {"image_url": None, "image_hash": None, **defaults, **given}
    return checked_submission(
        merged["image_url"], merged["image_hash"], merged["schema_version"], merged["prompt_version"], merged["force"]
    )

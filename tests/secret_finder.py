"""Secrets that can be found again wherever they turn up, and however they were quoted on the way."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote
from uuid import uuid4


@dataclass(frozen=True)
class Secret:
    """``value`` holds characters that need quoting around ``kernel``, which none of the usual encodings changes."""

    name: str
    kernel: str
    value: str

    @classmethod
    def make(cls, name: str, form: str = "p@:{}/%#?&'") -> Secret:
        kernel = f"{name}SECRET{uuid4().hex}"
        return cls(name, kernel, form.format(kernel))

    @property
    def quoted(self) -> str:
        return quote(self.value, safe="")


def found(secrets: list[Secret], *texts: str | bytes) -> set[str]:
    """The names of the secrets that stand in one of the texts."""
    joined = "\n".join(text if isinstance(text, str) else text.decode("latin-1") for text in texts)
    return {secret.name for secret in secrets if secret.kernel in joined}

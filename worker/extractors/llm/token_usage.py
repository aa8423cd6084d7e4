"""Tokens and costs in the form in which they are stored."""

from __future__ import annotations

from typing import Any

from pydantic_ai.usage import RunUsage


def stored_usage(usage: RunUsage) -> dict[str, Any] | None:
    """``None`` when no answer came, or none that said what it cost; the cost is ``None`` where no price is known."""
    if not usage.input_tokens and not usage.output_tokens:
        return None
    return {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "estimatedCost": None if usage.cost is None else float(usage.cost),
    }

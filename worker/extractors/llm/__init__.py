"""The extractor that asks a large model: any OpenAI-compatible server, Anthropic or Google."""

from worker.extractors.llm.extractor import LlmExtractor

__all__ = ["LlmExtractor"]

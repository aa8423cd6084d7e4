"""The extractor that asks a large model: any OpenAI-compatible server, Anthropic or Google.

Only ``extractor`` and what it needs of pydantic-ai cost seconds to import, so nothing is imported here.
"""

"""The default extractor: optical character recognition on the CPU and a parser for the layout of menus."""

from worker.extractors.ocr.extractor import OcrExtractor

__all__ = ["OcrExtractor"]

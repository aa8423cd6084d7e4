"""Finding the extractor that JOBQUEUE_EXTRACTOR names."""

from __future__ import annotations

import pytest

from jobqueue.errors import InvalidInputError
from jobqueue.extraction import Extractor
from worker.extractors.loading import load_extractor


class Made:
    name = "made"

    def extract(self, image: object, *, schema_version: str, prompt_version: str, report: object) -> object:
        raise NotImplementedError(f"{image} {schema_version} {prompt_version} {report}")


READY = Made()


def make() -> Made:
    return Made()


class WithoutName:
    def extract(self) -> None:
        """Half an extractor."""


NOT_ONE = {"name": "dictionary"}


@pytest.mark.parametrize("attribute", ["Made", "READY", "make"])
def test_a_class_an_instance_and_a_factory_will_do(attribute: str) -> None:
    found = load_extractor(f"{__name__}:{attribute}")
    assert isinstance(found, Extractor)
    assert found.name == "made"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "tesseract",
        "no_such_module:Extractor",
        f"{__name__}",
        f"{__name__}:",
        f"{__name__}:Missing",
        f"{__name__}:NOT_ONE",
        f"{__name__}:WithoutName",
        ":Made",
        "..relative:Made",
        f"{__name__}:Made.extract",
    ],
)
def test_what_is_no_extractor_is_one_sentence_that_names_the_setting(name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^JOBQUEUE_EXTRACTOR is wrong: [^\n]*\.$"):
        load_extractor(name)

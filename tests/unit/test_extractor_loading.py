"""Finding the extractor that JOBQUEUE_EXTRACTOR names."""

from __future__ import annotations

import re
import subprocess
import sys

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


class AlsoCallable(Made):
    def __call__(self) -> None:
        raise AssertionError("An extractor was taken for a factory.")


CALLABLE = AlsoCallable()


class WithoutName:
    def extract(self) -> None:
        """Half an extractor."""


NOT_ONE = {"name": "dictionary"}


@pytest.mark.parametrize("attribute", ["Made", "READY", "make", "CALLABLE"])
def test_a_class_an_instance_and_a_factory_will_do(attribute: str) -> None:
    found = load_extractor(f"{__name__}:{attribute}")
    assert isinstance(found, Extractor)
    assert found.name == "made"


@pytest.mark.parametrize("name", ["ocr", "llm", "hybrid"])
def test_a_built_in_one_is_the_one_that_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBQUEUE_LLM_MODEL", "openai:gpt-5")
    monkeypatch.setenv("JOBQUEUE_LLM_API_KEY", "sk")
    assert load_extractor(name).name == name


@pytest.mark.parametrize(
    ("name", "missing", "extras"),
    [("ocr", "cv2", "ocr"), ("llm", "pydantic_ai", "llm"), ("hybrid", "pydantic_ai", "ocr,llm")],
)
def test_without_its_extra_a_built_in_one_says_what_to_install(name: str, missing: str, extras: str) -> None:
    """In a process of its own, because the extras are installed here and may be loaded already."""
    check = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from jobqueue.errors import InvalidInputError; from worker.extractors.loading import load_extractor\n"
        f"try: load_extractor({name!r})\n"
        "except InvalidInputError as error: print(error)"
    )
    ended = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert re.fullmatch(
        rf"JOBQUEUE_EXTRACTOR is wrong: {name!r} needs the module {missing}[.\w]*, which is not installed; "
        rf"install menu-jobqueue\[{extras}\]\.\n",
        ended.stdout,
    )


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

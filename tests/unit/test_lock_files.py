"""The lock files hold exactly what pyproject.toml needs, with hashes and without addresses; no network is used."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]


def entries(lock: str) -> list[Requirement]:
    """The pinned requirements of a lock file, for every platform."""
    lines = (ROOT / lock).read_text().replace("\\\n", " ").splitlines()
    return [Requirement(line.partition(" --hash=")[0]) for line in lines if line and not line.lstrip().startswith("#")]


def pins(lock: str) -> dict[str, str]:
    """Name and version of what the lock file installs here."""
    here = [entry for entry in entries(lock) if entry.marker is None or entry.marker.evaluate()]
    return {canonicalize_name(entry.name): next(iter(entry.specifier)).version for entry in here}


def direct(extras: Iterable[str]) -> list[Requirement]:
    """What pyproject.toml asks for with these extras, its references to itself followed."""
    found = [Requirement(text) for text in PROJECT["dependencies"]]
    for extra in extras:
        for requirement in map(Requirement, EXTRAS[extra]):
            found += direct(requirement.extras) if requirement.name == PROJECT["name"] else [requirement]
    return found


def closure(requirements: Iterable[Requirement]) -> set[str]:
    """The names of the requirements and of everything that they need here, by what is installed."""
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(each.name), extra) for each in requirements for extra in ["", *each.extras]]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        found.add(name)
        for needed in map(Requirement, distribution(name).requires or []):
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(needed.name), inner) for inner in ["", *needed.extras]]
    return found


BUILD = [Requirement(text) for text in PYPROJECT["build-system"]["requires"]]
LOCKS = {"requirements.lock": direct(EXTRAS), "requirements-image.lock": direct(["llm", "ocr", "worker"]) + BUILD}


@pytest.mark.parametrize(("lock", "wanted"), LOCKS.items())
def test_every_direct_dependency_is_pinned_to_a_version_it_allows(lock: str, wanted: list[Requirement]) -> None:
    pinned = pins(lock)
    wrong = [str(each) for each in wanted if not each.specifier.contains(pinned.get(each.name.lower(), "0"))]
    assert wrong == [], f"run make lock: {lock} does not fit pyproject.toml"


@pytest.mark.parametrize(("lock", "wanted"), LOCKS.items())
def test_nothing_is_missing_and_nothing_is_left_over(lock: str, wanted: list[Requirement]) -> None:
    assert closure(wanted) == set(pins(lock)), f"run make lock: {lock} is not what pyproject.toml needs"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_has_a_hash_and_no_file_names_an_index(lock: str) -> None:
    text = (ROOT / lock).read_text()
    blocks = [block for block in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE) if "==" in block]
    assert len(blocks) == len(entries(lock))
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert re.findall(r"\w+://|--\w*index|--find-links|^-e|@ ", text, flags=re.MULTILINE) == []


def test_the_image_installs_the_versions_that_were_tested() -> None:
    tested = {str(entry) for entry in entries("requirements.lock")}
    assert {str(entry) for entry in entries("requirements-image.lock")} <= tested

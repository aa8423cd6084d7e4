"""docs/dependencies.md gives a reason for every direct dependency, beneath its extra, and lists no other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def declared() -> dict[str, list[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"The library": project["dependencies"]}
    groups |= {f"Extra `{extra}`": texts for extra, texts in project["optional-dependencies"].items()}
    return {
        title: [name for text in texts if (name := Requirement(text).name) != project["name"]]
        for title, texts in groups.items()
    }


def documented() -> dict[str, list[str]]:
    sections = re.split(r"^## ", (ROOT / "docs" / "dependencies.md").read_text(), flags=re.MULTILINE)[1:]
    return {
        section.partition("\n")[0]: re.findall(r"^\| (?!package)(\S+) \| \S.{5,} \|$", section, flags=re.MULTILINE)
        for section in sections
    }


def test_every_direct_dependency_has_its_reason_and_nothing_else_is_listed() -> None:
    assert documented() == declared()

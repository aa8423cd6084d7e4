"""The prompt files: they ship with the package, and a version picks one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from jobqueue.extraction import PermanentExtractionError
from worker.extractors.llm.prompt_files import asks_for_model, known_prompts, prompt_text

ROOT = Path(__file__).parents[2]


def test_the_default_version_of_a_job_has_a_prompt() -> None:
    assert "v1.0" in known_prompts()
    assert prompt_text("v1.0").strip()


@pytest.mark.parametrize("version", ["", "v9", "V1.0", "v1.0.md", "../v1.0", "v1.0+models", "+model"])
def test_an_unknown_version_is_refused_with_the_known_ones(version: str) -> None:
    with pytest.raises(PermanentExtractionError, match=r"must be one of v1\.0\.") as refused:
        prompt_text(version)
    assert refused.value.code == "UNKNOWN_PROMPT_VERSION"


def test_a_user_may_ask_for_the_model() -> None:
    assert asks_for_model("v1.0+model")
    assert not asks_for_model("v1.0")
    assert prompt_text("v1.0+model") == prompt_text("v1.0")


def test_the_wheel_holds_every_prompt() -> None:
    shipped = {str(included.relative_path) for included in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert {f"worker/extractors/llm/prompts/{version}.md" for version in known_prompts()} <= shipped


def test_a_worker_of_another_extractor_does_not_load_the_model_library() -> None:
    check = (
        "import sys, os; os.environ['REDIS_URL'] = 'redis://127.0.0.1:1'; import worker.tasks, worker.resources; "
        "import worker.extractors.llm.prompt_files; from worker.extractors.loading import load_extractor; "
        "load_extractor('ocr'); sys.exit(any(name.startswith('pydantic_ai') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False, cwd=ROOT).returncode == 0

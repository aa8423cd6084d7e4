"""docker-compose.yml and Dockerfile, checked without an engine: against the programs, settings and files they name."""

from __future__ import annotations

import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

import billiard.common
import click
import onnxruntime
import pytest
import yaml
from celery import Celery
from celery.app.utils import find_app
from celery.bin.base import CLIContext
from celery.bin.celery import celery
from pydantic import BaseModel, ConfigDict
from tornado.options import options as flower_options

from jobqueue.cli.main import main as jobqueue
from jobqueue.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
VARIABLE = re.compile(r"\$\$|\$\{(?P<name>[A-Z_]+)(?P<operator>:\?|:-)(?P<rest>[^}]*)\}|\$")
POSTGRES_IMAGE_VARIABLES = {"POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"}
VALKEY_CLI_VARIABLES = {"REDISCLI_AUTH"}


class Strict(BaseModel):
    """One level of the Compose specification, with the keys of it that this file uses: a misspelt key is refused."""

    model_config = ConfigDict(extra="forbid")


class HealthCheck(Strict):
    test: list[str]
    interval: str
    timeout: str
    retries: int = 3
    start_period: str = "0s"


class Condition(Strict):
    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class ConfigMount(Strict):
    source: str
    target: str


class Deploy(Strict):
    replicas: int


class Service(Strict):
    image: str
    build: str | None = None
    command: list[str] = []
    environment: dict[str, str] = {}
    volumes: list[str] = []
    ports: list[str] = []
    configs: list[ConfigMount] = []
    depends_on: dict[str, Condition] = {}
    healthcheck: HealthCheck | None = None
    deploy: Deploy | None = None
    restart: Literal["no", "always", "on-failure", "unless-stopped"]
    stop_grace_period: str = "10s"
    init: bool = False
    cap_drop: list[str] = []
    security_opt: list[str] = []


class Config(Strict):
    content: str


class Compose(Strict):
    services: dict[str, Service]
    configs: dict[str, Config]
    volumes: dict[str, None]


def substitute(text: str, variables: dict[str, str]) -> str:
    """The text as Compose reads it; a required variable that is missing or empty is a KeyError."""

    def value(match: re.Match[str]) -> str:
        if match.group() == "$$":
            return "$"
        assert match["name"], f"a lone $ in {text!r}"
        given = variables.get(match["name"], "")
        if not given and match["operator"] == ":?":
            raise KeyError(match["name"])
        return given or match["rest"]

    return VARIABLE.sub(value, text)


def example_variables() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def substituted(node: Any, variables: dict[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: substituted(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [substituted(value, variables) for value in node]
    return substitute(node, variables) if isinstance(node, str) else node


def raw_compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return {key: value for key, value in loaded.items() if not key.startswith("x-")}


COMPOSE = Compose.model_validate(substituted(raw_compose(), example_variables()))
OURS = {name: service for name, service in COMPOSE.services.items() if service.build is not None}
each_of_ours = pytest.mark.parametrize("service", OURS.values(), ids=OURS)
each_service = pytest.mark.parametrize("service", COMPOSE.services.values(), ids=COMPOSE.services)


def parse_command(command: list[str]) -> None:
    """Let the program itself read its arguments, without running it; raises ``click.UsageError``."""
    program, *arguments = command
    group: click.Group = {"jobqueue": jobqueue, "celery": celery}[program]
    if program == "celery":
        assert find_app(arguments[arguments.index("-A") + 1]).main == "menu_jobqueue"
        arguments = arguments[2:]
    # Not the project's own app: it would keep the settings that it is parsed with for the tests after this one.
    context = CLIContext(app=Celery(set_as_current=False), no_color=True, workdir=None)
    with click.Context(group, info_name=program, obj=context) as parent:
        name, subcommand, rest = group.resolve_command(parent, arguments)
        assert subcommand is not None
        parsed = subcommand.make_context(name, rest, parent=parent)
    for argument in parsed.params.get("tornado_argv", []):
        option = argument.removeprefix("--").partition("=")[0].replace("-", "_")
        if not argument.startswith("--") or option not in flower_options:
            raise click.NoSuchOption(argument)


@each_of_ours
def test_every_command_is_one_that_the_program_takes(service: Service) -> None:
    parse_command(service.command)


@pytest.mark.parametrize(
    "command",
    [
        ["jobqueue", "migrat"],
        ["jobqueue", "migrate", "--nonsense"],
        ["celery", "-A", "worker", "worker", "--concurency", "2"],
        ["celery", "-A", "worker", "flower", "--adress=0.0.0.0"],
        ["celery", "-A", "worker", "wroker"],
    ],
)
def test_a_wrong_command_would_be_noticed(command: list[str]) -> None:
    with pytest.raises(click.UsageError):
        parse_command(command)


@each_service
def test_every_variable_is_one_that_somebody_reads(service: Service) -> None:
    ours = {str(field.validation_alias) for field in Settings.model_fields.values()} | {"REMAP_SIGTERM"}
    known = ours if service.build is not None else POSTGRES_IMAGE_VARIABLES | VALKEY_CLI_VARIABLES
    assert set(service.environment) <= known


@each_of_ours
def test_the_settings_accept_what_the_services_are_given(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)
    load_settings()


def test_the_remaining_variables_exist_in_the_libraries_that_read_them() -> None:
    assert "REMAP_SIGTERM" in Path(billiard.common.__file__).read_text()
    assert "ORT_DISABLE_TELEMETRY=1" in (ROOT / "Dockerfile").read_text()
    libraries = Path(onnxruntime.__file__).parent.glob("capi/onnxruntime_pybind11_state*")
    assert any(b"ORT_DISABLE_TELEMETRY" in library.read_bytes() for library in libraries)


def test_the_example_names_every_variable_and_no_other() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert {match["name"] for match in VARIABLE.finditer(text) if match["name"]} == set(example_variables())


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "VALKEY_PASSWORD", "JOBQUEUE_FLOWER_PASSWORD"])
def test_no_password_has_a_default(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        substituted(raw_compose(), example_variables() | {name: ""})


@each_service
def test_every_image_is_pinned(service: Service) -> None:
    assert re.fullmatch(r"[a-z/-]+:\d+(\.\d+)*(-[a-z]+)*", service.image)
    assert service.build is None or service.image == f"menu-jobqueue:{VERSION}"


@each_service
def test_published_ports_are_reachable_from_this_machine_only(service: Service) -> None:
    assert [port for port in service.ports if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)] == []


@each_service
def test_everything_a_service_refers_to_exists(service: Service) -> None:
    for name, needed in service.depends_on.items():
        other = COMPOSE.services[name]
        assert needed.condition != "service_healthy" or other.healthcheck is not None
        assert needed.condition != "service_completed_successfully" or other.restart == "no"
    assert {volume.partition(":")[0] for volume in service.volumes} <= set(COMPOSE.volumes)
    assert {config.source for config in service.configs} <= set(COMPOSE.configs)


def test_the_urls_lead_to_the_services_and_carry_their_passwords() -> None:
    postgres = COMPOSE.services["postgres"].environment
    valkey = COMPOSE.services["valkey"].environment["REDISCLI_AUTH"]
    user, password, database = (postgres[f"POSTGRES_{part}"] for part in ("USER", "PASSWORD", "DB"))
    for service in OURS.values():
        given = service.environment
        assert given.get("DATABASE_URL") in {None, f"postgresql://{user}:{password}@postgres:5432/{database}"}
        assert given["REDIS_URL"] == f"redis://:{valkey}@valkey:6379/0"
    assert f"requirepass {valkey}\n" in COMPOSE.configs["valkey"].content


def test_the_worker_has_time_to_end_its_extractions() -> None:
    worker = COMPOSE.services["worker"]
    assert worker.environment["REMAP_SIGTERM"] == "SIGQUIT"
    grace = int(worker.stop_grace_period.removesuffix("s"))
    assert "JOBQUEUE_SOFT_SHUTDOWN_SECONDS" not in worker.environment
    assert grace > Settings.model_fields["soft_shutdown_seconds"].default


def instructions() -> list[tuple[str, list[str]]]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], shlex.split(line)[1:]) for line in lines]


def test_the_image_copies_only_what_exists_and_what_reaches_the_builder() -> None:
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    sources = [
        source
        for name, words in instructions()
        if name == "COPY" and not words[0].startswith("--from=")
        for source in words[:-1]
    ]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert sorted(f"!{source}" for source in sources) == sorted(patterns)


def test_the_image_is_pinned_and_runs_as_an_ordinary_user() -> None:
    found = instructions()
    images = [words[0] for name, words in found if name == "FROM"]
    assert len(set(images)) == 1
    assert fnmatch(images[0], "python:3.[0-9]*-slim-*")
    assert [words for name, words in found if name == "USER"] == [["10001:10001"]]


@each_of_ours
def test_no_process_of_ours_can_gain_rights(service: Service) -> None:
    assert service.cap_drop == ["ALL"]
    assert service.security_opt == ["no-new-privileges:true"]
    assert "user" not in Service.model_fields  # nothing overrides the image's USER

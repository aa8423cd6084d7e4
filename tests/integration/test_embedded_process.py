"""ManagedProcess: signals, logs, and whole trees that go with their owner."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from jobqueue.embedded import EmbeddedServerError, ManagedProcess
from tests.process_tree import eventually, is_alive
from tests.server_owner import next_line, owner

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")

SLEEPER = [sys.executable, "-c", "import signal; print('ready', flush=True); signal.pause()"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal\n"
    "for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)\n"
    "print('ready', flush=True)\n"
    "while True: signal.pause()",
]
# A child that leaves the session, ignores SIGTERM and has a child of its own, whose pids are printed.
FAMILY = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    os.fork()
    os.write(1, b'member %d\\n' % os.getpid())
    while True:
        signal.pause()
os.write(1, b'member %d\\n' % os.getpid())
"""
STAYING_FAMILY = FAMILY + "while True:\n    signal.pause()\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "process.log"


def members(log: Path) -> list[int]:
    return [int(line.split()[1]) for line in log.read_text().splitlines() if line.startswith("member")]


def all_gone(pids: list[int]) -> bool:
    return not any(is_alive(pid) for pid in pids)


def test_exit_code_and_both_outputs_are_kept(log: Path) -> None:
    script = "import sys; print('to out', flush=True); print('to err', file=sys.stderr); sys.exit(7)"
    process = ManagedProcess([sys.executable, "-c", script], log_path=log)
    assert process.wait(10) == 7
    assert process.poll() == 7
    assert process.log_tail() == "to out | to err"
    assert log.stat().st_mode & 0o077 == 0


def test_death_by_a_signal_is_told_from_an_exit_code(log: Path) -> None:
    process = ManagedProcess([sys.executable, "-c", "import os; os.abort()"], log_path=log)
    assert process.wait(10) == -signal.SIGABRT


def test_the_log_tail_is_of_this_run_only(log: Path) -> None:
    for word in ("first", "second"):
        process = ManagedProcess([sys.executable, "-c", f"print('{word}')"], log_path=log)
        process.wait(10)
    assert process.log_tail() == "second"
    assert log.read_text() == "first\nsecond\n"


def test_stop_asks_with_the_stop_signal(log: Path) -> None:
    process = ManagedProcess(SLEEPER, log_path=log, stop_signal=signal.SIGHUP)
    assert eventually(lambda: "ready" in log.read_text())
    assert process.poll() is None
    assert process.stop(10) == -signal.SIGHUP
    assert not is_alive(process.pid)
    assert process.stop(10) == -signal.SIGHUP


def test_stop_kills_what_does_not_listen(log: Path) -> None:
    with ManagedProcess(STUBBORN, log_path=log) as process:
        assert eventually(lambda: "ready" in log.read_text())
        assert process.stop(0.1) == -signal.SIGKILL


def test_wait_gives_up(log: Path) -> None:
    with ManagedProcess(SLEEPER, log_path=log) as process, pytest.raises(TimeoutError, match="still runs after"):
        process.wait(0.05)


@pytest.mark.parametrize("command", [["/no/such/program"], ["/etc/passwd"], [str(Path("/"))]])
def test_a_command_that_cannot_be_started_is_named(command: list[str], log: Path) -> None:
    with pytest.raises(EmbeddedServerError, match=f"^{command[0]} could not be started: "):
        ManagedProcess(command, log_path=log)


def test_the_given_environment_is_all_there_is(log: Path) -> None:
    script = "import os; print(sorted(set(os.environ) - {'LC_CTYPE'}))"
    process = ManagedProcess([sys.executable, "-c", script], log_path=log, env={"ONLY": "this"})
    process.wait(10)
    assert process.log_tail() == "['ONLY']"


def test_the_end_of_the_starting_thread_changes_nothing(log: Path) -> None:
    started: list[ManagedProcess] = []
    thread = threading.Thread(target=lambda: started.append(ManagedProcess(SLEEPER, log_path=log)))
    thread.start()
    thread.join()
    with started[0] as process:
        assert eventually(lambda: "ready" in log.read_text())
        with pytest.raises(TimeoutError):
            process.wait(0.3)
        assert is_alive(process.pid)


@pytest.mark.parametrize("end", ["kill", "stop", "exit"])
def test_no_descendant_stays_behind(end: str, log: Path) -> None:
    script = FAMILY if end == "exit" else STAYING_FAMILY
    process = ManagedProcess([sys.executable, "-c", script], log_path=log)
    if end == "exit":
        assert process.wait(10) == 0
    else:
        assert eventually(lambda: len(members(log)) == 3)
        process.kill() if end == "kill" else process.stop(0.1)
    assert not is_alive(process.pid)
    assert members(log)
    assert all_gone(members(log))


OWNER = """
import os, signal, sys, threading
from pathlib import Path
from jobqueue.embedded.child_process import ManagedProcess
log, script, way = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
process = ManagedProcess([sys.executable, '-c', script], log_path=log, grace=0.2)
if way == 'with a forked copy' and os.fork() == 0:
    os.write(1, b'copy %d\\n' % os.getpid())
    signal.pause()
os.write(1, b'started %d\\n' % process.pid)
if way == 'returns':
    while log.read_bytes().count(b'member') < 3:
        pass
    os._exit(0)
signal.pause()
"""


@pytest.mark.parametrize("way", ["killed", "terminated", "returns", "with a forked copy"])
def test_the_tree_goes_with_its_owner(way: str, log: Path) -> None:
    with owner(OWNER, str(log), STAYING_FAMILY, way) as process:
        said = dict(next_line(process).split() for _ in range(2 if way == "with a forked copy" else 1))
        try:
            assert eventually(lambda: len(members(log)) == 3)
            if way in {"killed", "with a forked copy"}:
                process.kill()
            elif way == "terminated":
                process.terminate()
            assert eventually(lambda: all_gone([int(said["started"]), *members(log)]))
        finally:
            if "copy" in said:
                os.kill(int(said["copy"]), signal.SIGKILL)


def test_the_command_goes_with_its_guardian(log: Path) -> None:
    process = ManagedProcess(STUBBORN, log_path=log)
    assert eventually(lambda: "ready" in log.read_text())
    guardian = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(guardian, signal.SIGKILL)
    assert eventually(lambda: not is_alive(process.pid))
    assert process.wait(10) == -signal.SIGKILL


def test_an_interrupted_start_leaves_nothing(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_pid, started = ManagedProcess._read_pid, []

    def interrupted(process: ManagedProcess) -> int:
        started.append(read_pid(process))
        assert eventually(lambda: "ready" in log.read_text())
        raise KeyboardInterrupt

    monkeypatch.setattr(ManagedProcess, "_read_pid", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ManagedProcess(STUBBORN, log_path=log, grace=0.1)
    assert not is_alive(started[0])

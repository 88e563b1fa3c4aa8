import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator.local import processes
from coordinator.local.servers import EmbeddedValkey
from coordinator.local.supervisor import Program, Supervisor

STEADY = (sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()",
)
PARENT = (
    sys.executable,
    "-c",
    "import signal, subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True); signal.pause()",
)
TIMELY = """
import pathlib, signal, sys
def end(*_):
    with pathlib.Path("ends").open("a") as ends: ends.write(sys.argv[1])
    sys.exit(0)
signal.signal(signal.SIGTERM, end); print("up", flush=True)
while True: signal.pause()
"""


class Run:
    """A supervisor in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.logs = directory / "logs"
        self.supervisor: Supervisor | None = None

    def start(self, *programs: Program, servers: tuple[EmbeddedValkey, ...] = ()) -> Supervisor:
        self.supervisor = Supervisor(programs, directory=self.directory, logs=self.logs, servers=servers)
        self.supervisor.start()
        for program in programs:
            self.wait_for_log(program.name, 1)
        return self.supervisor

    def program(self, name: str, command: tuple[str, ...] = STEADY, rank: int = 0, stop_seconds: float = 5) -> Program:
        return Program(name, command, dict(os.environ), rank, stop_seconds)

    def wait_for_log(self, name: str, lines: int) -> list[str]:
        log = self.logs / f"{name}.log"
        assert processes.wait_until(lambda: log.exists() and log.read_text().count("\n") >= lines, 30)
        return log.read_text().splitlines()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    if run.supervisor is not None:
        run.supervisor.stop()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_killed_program_comes_back_and_its_log_says_so(run: Run) -> None:
    supervisor = run.start(run.program("relay"), run.program("ticker"))
    first, other = supervisor.pid("relay"), supervisor.pid("ticker")
    assert first is not None
    os.kill(first, signal.SIGKILL)
    lines = run.wait_for_log("relay", 3)
    assert lines == ["up", "supervisor: ended with -9, starting again in 0.2 s", "up"]
    assert supervisor.pid("relay") not in {None, first}
    assert supervisor.pid("ticker") == other
    assert supervisor.restarts() == {"relay": 1, "ticker": 0}


def test_a_program_that_keeps_dying_is_started_ever_less_often(run: Run) -> None:
    run.start(run.program("broken", (sys.executable, "-c", "print('up')")))
    lines = [line for line in run.wait_for_log("broken", 6) if line.startswith("supervisor")]
    assert [line.split()[-2] for line in lines[:3]] == ["0.2", "0.4", "0.8"]


def test_what_a_killed_program_left_behind_is_killed_before_it_starts_again(run: Run) -> None:
    supervisor = run.start(run.program("web", PARENT))
    grandchild = int(run.wait_for_log("web", 1)[0])
    leader = supervisor.pid("web")
    assert leader is not None
    assert alive(grandchild)
    os.kill(leader, signal.SIGKILL)
    run.wait_for_log("web", 3)
    assert processes.wait_until(lambda: not alive(grandchild), 30)


def test_programs_stop_in_order_and_nothing_survives(run: Run) -> None:
    names = {"sandbox": 0, "worker": 1, "relay": 2, "web": 3}
    supervisor = run.start(
        *(run.program(name, (sys.executable, "-c", TIMELY, name[0]), rank) for name, rank in names.items())
    )
    pids = [supervisor.pid(name) for name in names]
    supervisor.stop()
    assert (run.directory / "ends").read_text() == "wrws"
    assert not any(alive(pid) for pid in pids if pid is not None)
    supervisor.stop()


def test_a_program_that_ignores_the_request_to_stop_is_killed(run: Run) -> None:
    supervisor = run.start(run.program("stubborn", STUBBORN, stop_seconds=0.2))
    pid = supervisor.pid("stubborn")
    assert pid is not None
    supervisor.stop()
    assert not alive(pid)


def test_a_crashed_server_is_started_again_and_a_stopped_one_is_not(run: Run, tmp_path: Path) -> None:
    valkey, idle = EmbeddedValkey(tmp_path / "valkey"), EmbeddedValkey(tmp_path / "idle")
    valkey.start()
    idle.start()
    idle.stop()
    try:
        run.start(run.program("relay"), servers=(valkey, idle))
        processes.end(processes.naming(valkey.token))
        assert processes.wait_until(lambda: valkey.crashed, 30) or valkey.running
        assert processes.wait_until(lambda: valkey.running, 30)
        assert not idle.running
    finally:
        assert run.supervisor is not None
        run.supervisor.stop()
        valkey.stop()


ORPHANER = """
import os, pathlib, sys
from coordinator.local.supervisor import Program, Supervisor
directory = pathlib.Path(sys.argv[1])
supervisor = Supervisor([Program("worker", sys.argv[2:], dict(os.environ))], directory=directory, logs=directory)
supervisor.start()
print(supervisor.pid("worker"), flush=True)
"""


def test_no_program_survives_a_killed_supervisor(tmp_path: Path) -> None:
    supervisor = subprocess.Popen([sys.executable, "-c", ORPHANER, str(tmp_path), *STEADY], stdout=subprocess.PIPE)
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())
    assert processes.wait_until(lambda: "up" in (tmp_path / "worker.log").read_text(), 30)
    assert alive(pid)
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()
    assert processes.wait_until(lambda: not alive(pid), 30)


def test_output_is_prefixed_on_the_terminal_and_kept_in_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    programs = [Program("web", STEADY, dict(os.environ)), Program("worker-pharmacy", STEADY, dict(os.environ))]
    supervisor = Supervisor(programs, directory=tmp_path, logs=tmp_path, echo=True)
    supervisor.start()
    assert processes.wait_until(lambda: "up" in (tmp_path / "worker-pharmacy.log").read_text(), 30)
    assert processes.wait_until(lambda: "up" in (tmp_path / "web.log").read_text(), 30)
    supervisor.stop()
    shown = capfd.readouterr().out
    assert "web             │ up\n" in shown
    assert "worker-pharmacy │ up\n" in shown


def test_only_programs_that_ended_by_themselves_are_reported(run: Run) -> None:
    supervisor = run.start(run.program("relay"), run.program("broken", (sys.executable, "-c", "print('up')")))
    assert processes.wait_until(lambda: supervisor.ended() == ["broken"], 30)
    supervisor.stop()
    assert supervisor.ended() == ["broken"]

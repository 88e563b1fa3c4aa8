import http.client
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from coordinator.local import __main__ as local_program
from coordinator.local import processes
from coordinator.local.credentials import EASYPOST, TWILIO, real_credentials, sandbox_credentials
from coordinator.local.migrations import ROOT
from coordinator.local.stack import KEY_FILES, Stack
from services.core.config import REQUIRED, read_config
from services.core.errors import InvalidConfiguration, Unavailable
from services.core.vocabulary import Party

BARE = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


def descendants(pid: int) -> list[int]:
    """All processes below ``pid``."""
    parents = {}
    for stat_file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat_file.parent.name)] = int(stat_file.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return found[1:]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a service of which every process was killed with -9 while it ran."""
    directory = tmp_path_factory.mktemp("stack")
    command = [sys.executable, "-m", "coordinator.local", "--directory", str(directory), "--port", "0", "run"]
    with subprocess.Popen(command, cwd=ROOT, env=BARE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert any("The service is up" in line for line in run.stdout)
        everything = [*descendants(run.pid), run.pid]
        assert len(everything) > len(KEY_FILES)
        processes.end(everything)
    return directory


@pytest.fixture(scope="module")
def stack(killed: Path) -> Iterator[Stack]:
    """The service, started where another one was killed."""
    with Stack(killed, BARE, port=0, durable=False) as stack:
        yield stack


def status(port: int | None, path: str) -> int:
    assert port is not None
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse().status
    connection.close()
    return answer


def test_the_whole_service_comes_up_where_it_was_killed(stack: Stack) -> None:
    assert status(stack.port, "/health") == 200
    assert processes.wait_until(lambda: status(stack.port, "/ready") == 200, 30)
    assert status(stack.sandbox_port, "/health") == 200
    assert stack.supervisor is not None
    assert set(stack.supervisor.restarts()) == set(KEY_FILES) | {"sandbox"}
    assert all(stack.supervisor.pid(name) for name in stack.supervisor.restarts())


def test_its_environment_is_complete_and_production_refuses_it(stack: Stack) -> None:
    config = read_config(stack.environment)
    assert config.environment == "local"
    assert config.public_base_url == stack.url
    assert config.twilio_api_base == stack.sandbox_url
    assert config.easypost_api_base == f"{stack.sandbox_url}/v2"
    with pytest.raises(InvalidConfiguration) as refused:
        read_config({**stack.environment, "COORDINATOR_ENV": "production"})
    for reason in ("PUBLIC_BASE_URL", "TWILIO_API_BASE", "EASYPOST_API_BASE", "CLOCK_FILE", "embedded", "KEYRING"):
        assert reason in refused.value.message


def test_each_process_is_given_only_the_keys_it_needs(stack: Stack) -> None:
    keyrings = stack.directory / "keyrings"
    for party in Party:
        private = [file.name for file in (keyrings / f"worker-{party}").glob("party-*.json")]
        assert private == [f"party-{party}.json"]
    for name in ("web", "relay", "ticker"):
        assert not list((keyrings / name).glob("party-*.json"))
    for name in set(KEY_FILES) - {"web"}:
        assert not (keyrings / name / "psychotherapy_notes.json").exists()
        assert not (keyrings / name / "signing.json").exists()


def test_the_sandbox_knows_neither_database_nor_keys(stack: Stack) -> None:
    assert stack.supervisor is not None
    environment = Path(f"/proc/{stack.supervisor.pid('sandbox')}/environ").read_bytes()
    assert b"TWILIO_AUTH_TOKEN" in environment
    assert b"DATABASE_URL" not in environment
    assert b"COORDINATOR_KEYRING" not in environment


def test_secrets_on_disk_are_for_their_owner_only(stack: Stack) -> None:
    for file in (stack.directory / "sandbox.json", *(stack.directory / "keys").glob("*.json")):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_shell_can_load_the_environment_and_run_the_command_line(stack: Stack) -> None:
    loaded = subprocess.run(
        ["sh", "-c", '. "$0" && exec "$1" -m coordinator list-dead-letters', stack.environment_file, sys.executable],
        cwd=ROOT,
        env=BARE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (loaded.returncode, loaded.stdout) == (0, "0 dead letter(s)\n"), loaded.stderr
    assert stat.S_IMODE(stack.environment_file.stat().st_mode) == 0o600
    lines = stack.environment_file.read_text().splitlines()
    assert all(line.startswith("export ") for line in lines)
    names = {line.removeprefix("export ").partition("=")[0] for line in lines}
    assert names == {
        "COORDINATOR_AUDIT_HEADS",
        "COORDINATOR_CLOCK_FILE",
        "COORDINATOR_EMBEDDED",
        "TWILIO_API_BASE",
        "EASYPOST_API_BASE",
        *REQUIRED,
    }


def test_the_user_is_told_how_to_load_it(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    local_program._tell_addresses(stack)
    (hint,) = [line for line in capsys.readouterr().out.splitlines() if "command line" in line]
    command = hint.partition(": ")[2]
    shown = subprocess.run(["sh", "-c", f"{command} --help"], env=BARE, capture_output=True, text=True, check=True)
    assert "rotate-keys" in shown.stdout


@pytest.mark.parametrize("value", ["plain", "with 'quotes' and $HOME", "p@ss;word|`x`"])
def test_a_value_of_any_kind_survives_the_shell(tmp_path: Path, value: str) -> None:
    stack = Stack(tmp_path, BARE, port=0)
    stack.environment = {"TWILIO_AUTH_TOKEN": value, "PATH": "/nowhere"}
    stack._keep_environment()
    script = '. "$0" && printf %s "$TWILIO_AUTH_TOKEN" && test "$PATH" != /nowhere'
    loaded = subprocess.run(["sh", "-c", script, stack.environment_file], env=BARE, capture_output=True, check=True)
    assert loaded.stdout.decode() == value


def test_no_secret_stands_in_a_command_line(stack: Stack) -> None:
    assert stack.supervisor is not None
    for name in stack.supervisor.restarts():
        command = Path(f"/proc/{stack.supervisor.pid(name)}/cmdline").read_text()
        assert not any(stack.environment[secret] in command for secret in (*TWILIO, *EASYPOST, "DATABASE_URL"))


def test_killed_processes_come_back(stack: Stack) -> None:
    supervisor = stack.supervisor
    assert supervisor is not None
    before = {name: supervisor.pid(name) for name in ("web", "relay", "worker-pharmacy")}
    for pid in before.values():
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    assert processes.wait_until(lambda: all(supervisor.pid(name) not in {None, before[name]} for name in before), 30)
    assert processes.wait_until(lambda: answers(stack), 30)


def answers(stack: Stack) -> bool:
    try:
        return status(stack.port, "/health") == 200
    except OSError:
        return False


def test_a_second_one_in_the_same_directory_is_refused(stack: Stack) -> None:
    second = Stack(stack.directory, BARE, port=0)
    with pytest.raises(Unavailable, match="already runs"):
        second.start()
    with pytest.raises(Unavailable, match="already runs"):
        second.clear()
    assert status(stack.port, "/health") == 200


def test_given_servers_are_used_in_place_of_embedded_ones(
    tmp_path: Path, own_postgres_url: str, redis_url: str
) -> None:
    given = {**BARE, "DATABASE_URL": own_postgres_url, "REDIS_URL": redis_url}
    with Stack(tmp_path, given, port=0) as stack:
        assert not stack.postgres.running
        assert not stack.valkey.running
        assert "COORDINATOR_EMBEDDED" not in stack.environment
        assert (stack.environment["DATABASE_URL"], stack.environment["REDIS_URL"]) == (own_postgres_url, redis_url)
        assert processes.wait_until(lambda: status(stack.port, "/ready") == 200, 30)


def test_clearing_removes_everything_but_needs_no_running_server(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "clock").write_text("86400")
    stack = Stack(tmp_path, BARE)
    stack.clear()
    stack.stop()
    assert [entry.name for entry in tmp_path.iterdir()] == ["stack.lock"]


@pytest.mark.parametrize("command", ["run", "demo"])
def test_the_commands_refuse_production(tmp_path: Path, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "coordinator.local", "--directory", str(tmp_path / "var"), command],
        cwd=ROOT,
        env={**BARE, "COORDINATOR_ENV": "production"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "it is for laptops" in done.stderr
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize("names", [TWILIO, EASYPOST])
def test_half_a_provider_is_refused(names: tuple[str, ...]) -> None:
    complete: Mapping[str, str] = dict.fromkeys(names, "value")
    assert real_credentials(complete, names) == complete
    assert real_credentials({}, names) is None
    for name in names:
        with pytest.raises(InvalidConfiguration, match=f"needed too: {name}"):
            real_credentials({**complete, name: ""}, names)


def test_sandbox_credentials_stay_the_same_and_differ_between_machines(tmp_path: Path) -> None:
    first = sandbox_credentials(tmp_path / "one.json")
    assert sandbox_credentials(tmp_path / "one.json") == first
    other = sandbox_credentials(tmp_path / "two.json")
    assert all(first[name] != other[name] for name in (*TWILIO, *EASYPOST))

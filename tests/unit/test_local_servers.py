import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from coordinator.local import processes
from coordinator.local.servers import EmbeddedPostgres, EmbeddedServer, EmbeddedValkey
from services.core.errors import Unavailable


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "postgres", durable=False)
    yield server
    server.stop()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(tmp_path / "valkey")
    yield server
    server.stop()


def ask(server: EmbeddedPostgres, statement: str) -> object:
    engine = create_engine(server.url)
    with engine.begin() as connection:
        result = connection.execute(text(statement))
        answer = result.scalar() if result.returns_rows else None
    engine.dispose()
    return answer


def test_starting_and_stopping_twice_is_the_same_as_once(postgres: EmbeddedPostgres) -> None:
    postgres.stop()
    postgres.start()
    postgres.start()
    assert ask(postgres, "SELECT 1") == 1
    postgres.stop()
    postgres.stop()
    assert not processes.naming(postgres.token)
    assert not postgres.sockets.exists()


def test_postgres_keeps_its_data_and_its_address_over_a_restart(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    address = postgres.url
    ask(postgres, "CREATE TABLE kept AS SELECT 7 AS seven")
    postgres.stop()
    postgres.start()
    assert postgres.url == address
    assert ask(postgres, "SELECT seven FROM kept") == 7


def test_postgres_recovers_what_was_committed_before_everything_was_killed(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    ask(postgres, "CREATE TABLE kept AS SELECT 7 AS seven")
    postgres.kill()
    assert not postgres.running
    assert (postgres.cluster / "postmaster.pid").exists()
    postgres.start()
    assert ask(postgres, "SELECT seven FROM kept") == 7


def test_a_stale_pid_file_naming_a_living_stranger_does_not_stop_postgres(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.kill()
    pid_file = postgres.cluster / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")
    postgres.start()
    assert ask(postgres, "SELECT 1") == 1


def test_the_ordinary_role_of_postgres_is_no_superuser(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    assert ask(postgres, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False


def test_postgres_takes_connections_on_its_socket_only(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    assert ask(postgres, "SHOW listen_addresses") == ""
    assert postgres.sockets.stat().st_mode & 0o077 == 0
    assert len(str(postgres.sockets / ".s.PGSQL.5432")) <= 107


def test_a_failed_statement_leaves_none_of_its_values_in_the_log(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    ask(postgres, "CREATE TABLE people (phone text PRIMARY KEY)")
    ask(postgres, "INSERT INTO people VALUES ('+15005550006')")
    with pytest.raises(IntegrityError):
        ask(postgres, "INSERT INTO people VALUES ('+15005550006')")
    log = postgres.log.read_text()
    assert "duplicate key" in log
    assert "15005550006" not in log


@pytest.mark.parametrize("kind", [EmbeddedPostgres, EmbeddedValkey])
def test_a_second_owner_is_refused_while_the_first_lives(tmp_path: Path, kind: type[EmbeddedServer]) -> None:
    first, second = kind(tmp_path), kind(tmp_path)
    first.start()
    try:
        with pytest.raises(Unavailable, match="already runs"):
            second.start()
    finally:
        first.stop()
    second.start()
    second.stop()


OWNER = """
import pathlib, sys
from coordinator.local.servers import EmbeddedPostgres, EmbeddedValkey
for server in (EmbeddedPostgres(pathlib.Path(sys.argv[1]), durable=False), EmbeddedValkey(pathlib.Path(sys.argv[2]))):
    server.start()
print("up", flush=True)
sys.stdin.read()
"""


def test_the_servers_of_a_killed_owner_end_and_its_successor_starts(
    postgres: EmbeddedPostgres, valkey: EmbeddedValkey
) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(postgres.data_dir), str(valkey.data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert owner.stdout is not None
    assert owner.stdin is not None
    assert owner.stdout.readline() == b"up\n"
    assert Redis.from_url(valkey.url).ping()
    assert len(processes.naming(postgres.token)) > 1
    owner.kill()
    owner.wait()
    owner.stdin.close()
    owner.stdout.close()
    for server in (postgres, valkey):
        assert processes.wait_until(lambda token=server.token: not processes.naming(token), 30)
        server.start()
    assert ask(postgres, "SELECT 1") == 1
    assert Redis.from_url(valkey.url).ping()


def test_orphans_of_a_killed_postmaster_do_not_stop_the_next_start(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    parent = int((postgres.cluster / "postmaster.pid").read_text().splitlines()[0])
    children = [pid for pid in processes.naming(postgres.token) if pid != parent]
    processes.end(children[:1], signal.SIGSTOP)
    processes.end([parent])
    assert processes.wait_until(lambda: not postgres.running, 30)
    assert children[0] in processes.naming(postgres.token)
    postgres.start()
    assert ask(postgres, "SELECT 1") == 1
    assert children[0] not in processes.naming(postgres.token)


def test_valkey_keeps_nothing_and_its_address_over_a_restart(valkey: EmbeddedValkey) -> None:
    valkey.start()
    address = valkey.url
    Redis.from_url(address).set("carried", "1")
    valkey.kill()
    valkey.start()
    assert valkey.url == address
    assert Redis.from_url(address).get("carried") is None


def test_valkey_refuses_writes_instead_of_forgetting_silently(valkey: EmbeddedValkey) -> None:
    valkey.start()
    assert Redis.from_url(valkey.url).config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_a_server_that_cannot_start_says_where_to_look(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.stop()
    (postgres.cluster / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(Unavailable, match=r"server\.log"):
        postgres.start()

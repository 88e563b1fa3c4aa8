"""The whole service on one machine: PostgreSQL, Valkey, sandbox, workers, relay, ticker and web, as real processes.

Everything lives under one directory (``var/run``, ``var/demo``), which may be deleted while nothing runs. What the
environment already names is used in place of the local part: DATABASE_URL, REDIS_URL, COORDINATOR_KEYRING,
PUBLIC_BASE_URL, TWILIO_*, EASYPOST_*.
"""

from __future__ import annotations

import fcntl
import http.client
import os
import secrets
import shlex
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from coordinator.local import processes
from coordinator.local.credentials import EASYPOST, TWILIO, real_credentials, sandbox_credentials
from coordinator.local.migrations import ROOT, migrate
from coordinator.local.servers import EmbeddedPostgres, EmbeddedServer, EmbeddedValkey
from coordinator.local.supervisor import Program, Supervisor
from services.core.config import REQUIRED
from services.core.errors import InvalidConfiguration, Unavailable
from services.core.vocabulary import Party
from services.vault import keyring

READY_SECONDS = 60
PREFERRED_PORT = 8000
FALLBACK_PORTS = range(20_000, 32_000)
SANDBOX_SETTINGS = ("COORDINATOR_ENV", "COORDINATOR_CLOCK_FILE", "PUBLIC_BASE_URL", *TWILIO, *EASYPOST)

# Which key files a process is given (services/vault/keyring.py says what is in them).
RECORD_KEYS = ("vault.json", "audit.json", "parties.json")
KEY_FILES: Mapping[str, tuple[str, ...]] = {
    "web": (*RECORD_KEYS, "psychotherapy_notes.json", "signing.json"),
    "relay": ("audit.json", "parties.json"),
    "ticker": RECORD_KEYS,
    **{f"worker-{party}": (*RECORD_KEYS, f"party-{party}.json") for party in Party},
}


class Stack:
    """The local service in ``directory``; also a context manager that starts and stops it.

    After ``start()``, ``environment`` holds every setting, with the complete keyring, for commands and for the story.
    """

    def __init__(
        self,
        directory: Path,
        environ: Mapping[str, str] | None = None,
        *,
        port: int | None = None,  # None prefers 8000, 0 takes any
        echo: bool = False,
        durable: bool = True,
    ) -> None:
        self._given = dict(os.environ if environ is None else environ)
        if self._given.get("COORDINATOR_ENV") == "production":
            raise InvalidConfiguration(
                "This starts embedded servers and a sandbox: it is for laptops. In production run gunicorn, "
                "'python -m workers …' and your own PostgreSQL and Redis."
            )
        self.directory = directory.resolve()
        self.environment: dict[str, str] = {}
        self.postgres = EmbeddedPostgres(self.directory / "postgres", durable=durable)
        self.valkey = EmbeddedValkey(self.directory / "valkey")
        self.supervisor: Supervisor | None = None
        self.port = 0
        self.sandbox_port: int | None = None
        self._wanted_port = port
        self._echo = echo
        self._lock: int | None = None

    @property
    def url(self) -> str:
        """Where the web process listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment_file(self) -> Path:
        """Where a shell finds the service's settings, for ``python -m coordinator``."""
        return self.directory / "environment"

    @property
    def sandbox_url(self) -> str | None:
        """Where the sandbox listens; None when both providers are real."""
        return None if self.sandbox_port is None else f"http://127.0.0.1:{self.sandbox_port}"

    def start(self, meanwhile: Callable[[Mapping[str, str]], object] | None = None) -> None:
        """Start everything and wait until the web answers. Raises ``Unavailable`` or ``InvalidConfiguration``.

        ``meanwhile`` is called with the environment once the database is migrated, while the web comes up.
        """
        self._own()
        try:
            servers = self._start_servers()
            self.port = self._wanted_port or _free_port(PREFERRED_PORT if self._wanted_port is None else None)
            self.environment = self._settings()
            self._keep_environment()
            migrate(self.environment)
            logs = self.directory / "log"
            self.supervisor = Supervisor(self._programs(), directory=ROOT, logs=logs, servers=servers, echo=self._echo)
            # Ten interpreters that start at once are slow together. The web takes longest, so it goes first.
            self.supervisor.start({"web", "sandbox"})
            if meanwhile is not None:
                meanwhile(self.environment)
            self._await_programs(self.supervisor)
            self.supervisor.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything in order. May be called again."""
        if self.supervisor is not None:
            self.supervisor.stop()
            self.supervisor = None
        self.valkey.stop()
        self.postgres.stop()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def clear(self) -> None:
        """Delete the directory's contents: a fresh start. Raises ``Unavailable`` while another process uses it."""
        self._own()
        for server in (self.postgres, self.valkey):
            server.reclaim()
        for entry in self.directory.iterdir():
            if entry.name != "stack.lock":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _own(self) -> None:
        if self._lock is not None:
            return
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.directory / "stack.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError as error:
            raise Unavailable(f"{self.directory} belongs to another user: remove it, or run as that user.") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise Unavailable(f"The service already runs in {self.directory}. Stop it first.") from error
        self._lock = lock

    def _start_servers(self) -> list[EmbeddedServer]:
        servers: list[EmbeddedServer] = []
        if not self._given.get("DATABASE_URL"):
            servers.append(self.postgres)
        if not self._given.get("REDIS_URL"):
            servers.append(self.valkey)
        for server in servers:
            server.start()
        return servers

    def _settings(self) -> dict[str, str]:
        """Every setting of the service, given or made here."""
        settings = {
            **self._given,
            "COORDINATOR_ENV": self._given.get("COORDINATOR_ENV") or "local",
            "PUBLIC_BASE_URL": self._given.get("PUBLIC_BASE_URL") or self.url,
            "COORDINATOR_KEYRING": self._given.get("COORDINATOR_KEYRING") or str(self._keys()),
            "COORDINATOR_AUDIT_HEADS": self._given.get("COORDINATOR_AUDIT_HEADS")
            or str(self.directory / "audit-heads.jsonl"),
            "COORDINATOR_CLOCK_FILE": self._given.get("COORDINATOR_CLOCK_FILE") or str(self._clock_file()),
            "WEB_BIND": f"127.0.0.1:{self.port}",
            "PYTHONUNBUFFERED": "1",
            # One arena per core and thread is glibc's default; two keep the threads of a process small.
            "MALLOC_ARENA_MAX": "2",
        }
        if not self._given.get("DATABASE_URL"):
            settings |= {"DATABASE_URL": self.postgres.url, "COORDINATOR_EMBEDDED": "1"}
        if not self._given.get("REDIS_URL"):
            settings |= {"REDIS_URL": self.valkey.url, "COORDINATOR_EMBEDDED": "1"}
        return settings | self._providers()

    def _keep_environment(self) -> None:
        """Write the service's settings, secrets among them, to a file that a shell of this user's can load."""
        lines = [
            f"export {name}={shlex.quote(value)}\n"
            for name, value in sorted(self.environment.items())
            if name in REQUIRED or name.startswith(("COORDINATOR_", "TWILIO_", "EASYPOST_"))
        ]
        unfinished = self.directory / "environment.unfinished"
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.writelines(lines)
        unfinished.replace(self.environment_file)

    def _providers(self) -> dict[str, str]:
        """Credentials and addresses of Twilio and EasyPost: the given ones, or the sandbox's."""
        made = sandbox_credentials(self.directory / "sandbox.json")
        twilio, easypost = real_credentials(self._given, TWILIO), real_credentials(self._given, EASYPOST)
        if twilio and easypost:
            return {**twilio, **easypost}
        self.sandbox_port = _free_port(None if self._wanted_port == 0 else self.port + 1)
        return {
            **made,
            **(twilio or {"TWILIO_API_BASE": f"{self.sandbox_url}"}),
            **(easypost or {"EASYPOST_API_BASE": f"{self.sandbox_url}/v2"}),
        }

    def _keys(self) -> Path:
        """The generated keyring: complete or absent, so that a killed start leaves no half."""
        keys, unfinished = self.directory / "keys", self.directory / "keys.unfinished"
        if not keys.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            keyring.generate(unfinished)
            unfinished.rename(keys)
        return keys

    def _clock_file(self) -> Path:
        file = self.directory / "clock"
        if not file.exists():
            file.write_text("0\n", encoding="ascii")
        return file

    def _programs(self) -> list[Program]:
        """What to run, in ranks: the sandbox outlives the workers, they the relay and the ticker, they the web."""
        python = [sys.executable, "-m"]
        workers = [[*python, "workers", "party", party] for party in Party]
        programs = [
            self._program("web", [*python, "gunicorn", "wsgi:app"], rank=3),
            self._program("relay", [*python, "workers", "relay"], rank=2),
            self._program("ticker", [*python, "workers", "ticker"], rank=2),
            *(self._program(f"worker-{command[-1]}", command, rank=1) for command in workers),
        ]
        if self.sandbox_port is not None:
            command = [*python, "coordinator.local.sandbox", "--port", str(self.sandbox_port)]
            known = {name: self.environment[name] for name in SANDBOX_SETTINGS if name in self.environment}
            known["PATH"] = self.environment.get("PATH", os.defpath)
            programs.append(Program("sandbox", command, known))
        return programs

    def _program(self, name: str, command: list[str], rank: int) -> Program:
        return Program(name, command, {**self.environment, "COORDINATOR_KEYRING": str(self._keyring_of(name))}, rank)

    def _keyring_of(self, name: str) -> Path:
        """A keyring that holds only the files this process needs, as links: each party opens its own envelopes only."""
        source = Path(self.environment["COORDINATOR_KEYRING"]).resolve()
        directory = self.directory / "keyrings" / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True, mode=0o700)
        for file in (*KEY_FILES[name], keyring.GENERATED_MARK):
            (directory / file).symlink_to(source / file)
        return directory

    def _await_programs(self, supervisor: Supervisor) -> None:
        """Wait for the web. A program that ends while starting would do so again and again: that is a refusal."""
        answered = processes.wait_until(lambda: bool(supervisor.ended()) or self._web_answers(), READY_SECONDS)
        silent = supervisor.ended() or ([] if answered else ["web"])
        if silent:
            logs = ", ".join(str(self.directory / "log" / f"{name}.log") for name in silent)
            raise Unavailable(f"{' and '.join(silent)} did not start; see {logs}.")

    def _web_answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _free_port(preferred: int | None) -> int:
    """``preferred`` if nobody has it, else a free port below those that the kernel gives to outgoing connections."""
    candidates = (secrets.choice(FALLBACK_PORTS) for _ in range(200))
    for port in candidates if preferred is None else (preferred, *candidates):
        with suppress(OSError), socket.socket() as probe:
            # As gunicorn does: a port whose connections are still in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise Unavailable("There is no free port on this machine.")

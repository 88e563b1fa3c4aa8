"""One PostgreSQL and one Valkey for a whole test run, whichever of its processes asks.

With xdist the controlling process starts them before its workers exist and tells each worker the directory; without
xdist they start when the first test asks. The directory is ``var/test/run-…``; runs that were killed are swept away by
the next one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from pathlib import Path

import psycopg

from coordinator.local.migrations import ROOT, migrate
from coordinator.local.servers import EmbeddedPostgres, EmbeddedValkey
from services.vault import keyring

RUNS = ROOT / "var" / "test"
TEMPLATE = "migrated"


class Servers:
    """The servers of one run, under ``directory``. Only the process that made the directory starts and stops them."""

    def __init__(self, directory: Path, *, owner: bool) -> None:
        self.directory = directory
        self.owner = owner
        self.lock: int | None = None
        self.postgres = EmbeddedPostgres(directory / "postgres", durable=False)
        self.valkey = EmbeddedValkey(directory / "valkey", memory_mb=256)

    @classmethod
    def for_this_run(cls) -> Servers:
        """New servers, not started, for the process that controls the run."""
        RUNS.mkdir(parents=True, exist_ok=True)
        sweep()
        servers = cls(Path(tempfile.mkdtemp(prefix="run-", dir=RUNS)), owner=True)
        servers.lock = lock(servers.directory, os.O_CREAT)
        return servers

    def start(self) -> None:
        """Start both, if this process may and has not done so."""
        if self.owner:
            self.valkey.start()
            self.postgres.start()

    def stop(self) -> None:
        """Stop both and remove their directory."""
        if self.owner:
            self.valkey.stop()
            self.postgres.stop()
            shutil.rmtree(self.directory, ignore_errors=True)
            if self.lock is not None:
                os.close(self.lock)
                self.lock = None

    def database(self, name: str) -> str:
        """The address of a new database called ``name`` with all migrations applied."""
        self._ensure_template()
        self.postgres.create_database(name, template=TEMPLATE)
        return self.postgres.url_of(name)

    def environment(self, database_url: str, redis_url: str, keys: Path) -> dict[str, str]:
        """A complete environment for the code under test, with keys generated under ``keys``.

        The addresses of Twilio and EasyPost are ports that nobody serves: a test that sends starts its own sandbox.
        """
        if not keys.exists():
            keyring.generate(keys)
        return {
            "COORDINATOR_ENV": "test",
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "COORDINATOR_KEYRING": str(keys),
            "COORDINATOR_AUDIT_HEADS": str(keys.with_suffix(".heads.jsonl")),
            "COORDINATOR_LIGHT_PASSWORDS": "1",
            "PUBLIC_BASE_URL": "http://127.0.0.1:1",
            "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
            "TWILIO_AUTH_TOKEN": "test-auth-token",
            "TWILIO_MESSAGING_SERVICE_SID": "MG" + "0" * 32,
            "TWILIO_API_BASE": "http://127.0.0.1:1",
            "EASYPOST_API_KEY": "test-api-key",
            "EASYPOST_WEBHOOK_SECRET": "test-webhook-secret",
            "EASYPOST_API_BASE": "http://127.0.0.1:1",
        }

    def _ensure_template(self) -> None:
        """Migrate the template database, once per run: the first process does it while the others wait."""
        with psycopg.connect(host=str(self.postgres.sockets), user="postgres", dbname="postgres") as guard:
            guard.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [TEMPLATE])
            if guard.execute("SELECT 1 FROM pg_database WHERE datname = %s", [TEMPLATE]).fetchone():
                return
            unfinished = f"{TEMPLATE}_unfinished"
            self.postgres.drop_database(unfinished)
            self.postgres.create_database(unfinished)
            keys = self.directory / "template-keys"
            settings = self.environment(self.postgres.url_of(unfinished), self.valkey.url, keys)
            migrate({"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": os.pathsep.join(sys.path), **settings})
            guard.execute(f"ALTER DATABASE {unfinished} RENAME TO {TEMPLATE}")


def sweep() -> None:
    """Remove the directories of runs whose owner is gone, and end what such a run left running."""
    for run in RUNS.glob("run-*"):
        held = lock(run)
        if held is None:
            continue
        abandoned = Servers(run, owner=True)
        abandoned.postgres.reclaim()
        abandoned.valkey.reclaim()
        shutil.rmtree(run, ignore_errors=True)
        os.close(held)


def lock(run: Path, flags: int = 0) -> int | None:
    """Lock a run's directory; None when its owner lives, or has not come to lock it yet."""
    try:
        held = os.open(run / "run.lock", os.O_RDWR | os.O_CLOEXEC | flags)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        return None
    return held

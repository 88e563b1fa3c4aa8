"""Bringing a database to the newest version of its tables."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from services.core.errors import Unavailable

ROOT = Path(__file__).resolve().parents[2]


def migrate(environment: Mapping[str, str]) -> None:
    """Run ``alembic upgrade head`` with exactly ``environment``, in a process of its own.

    Raises ``Unavailable`` with the last thing Alembic said; the database is then as it was, each migration being one
    transaction.
    """
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(ROOT / "pyproject.toml"), "upgrade", "head"],
        cwd=ROOT,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        failure = Unavailable(f"The database could not be migrated: {last}")
        failure.add_note(done.stderr)
        raise failure

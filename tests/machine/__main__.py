"""``make soak``: walks with seeds by chance, for MINUTES or STEPS, with a line of progress. SEED walks one again."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine

from services.core import config as configuration
from services.vault import keyring
from tests.machine.running import standing_on, walk_about
from tests.machine.stage import Tally
from tests.servers import Servers

WALKS_AT_ONCE = 5


def main() -> int:
    """Walk until the time is over; 1 when something did not hold."""
    parser = argparse.ArgumentParser(prog="soak")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, help="walk once with this seed, as a failure named it")
    given = parser.parse_args()
    minutes = given.minutes if given.minutes or given.steps else 10.0
    tally, began = Tally(), time.monotonic()
    with _database() as engine, standing_on(engine) as standing:
        while True:
            number = given.seed if given.seed is not None else secrets.randbelow(2**31)
            try:
                walk_about(standing, tally, WALKS_AT_ONCE, number, shrink=given.seed is not None)
            except BaseException:
                print(f"\nFailed with SEED={number}; to see it again: make soak SEED={number}", file=sys.stderr)
                raise
            passed = (time.monotonic() - began) / 60
            _show(tally, passed)
            if (
                given.seed is not None
                or (minutes and passed >= minutes)
                or (given.steps and tally.steps >= given.steps)
            ):
                break
    print()
    for name, times in tally.done.most_common():
        print(f"{times:>8}  {name}")
    return 0


def _show(tally: Tally, minutes: float) -> None:
    line = f"{minutes:6.1f} min  {tally.steps} steps  {tally.done.total()} done  {tally.refused.total()} refused"
    print(f"\r{line}", end="" if sys.stdout.isatty() else "\n", flush=True)


@contextmanager
def _database() -> Iterator[Engine]:
    servers = Servers.for_this_run()
    try:
        servers.start()
        url = servers.database("soak")
        os.environ.update(servers.environment(url, servers.valkey.url, servers.directory / "keys"))
        configuration.config.cache_clear()
        keyring.keyring.cache_clear()
        engine = create_engine(url, connect_args={"options": "-c timezone=UTC"})
        yield engine
        engine.dispose()
    finally:
        servers.stop()


if __name__ == "__main__":
    sys.exit(main())

"""``python -m workers relay | ticker | party NAME``: one process of the sealed queues."""

from __future__ import annotations

import argparse
import logging
import os
import signal
from threading import Event as Stop

import structlog

from services.core.config import config
from services.core.logs import configure_logs
from services.core.memory import settle_memory
from services.core.programme import programme
from services.core.redis_connections import connect
from services.core.vocabulary import Party
from services.screening.instruments import check_asked
from workers import queues, relay, ticker

NICENESS = 5


def main() -> None:
    """Run the named process until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("relay", help="move sealed events from the outbox to the queues")
    kinds.add_parser("ticker", help="fire timers, escalate tasks, release held texts")
    party_parser = kinds.add_parser("party", help="open and carry out the events of one party")
    party_parser.add_argument("party", choices=[party.value for party in Party])
    arguments = parser.parse_args()
    configure_logs()
    check_asked(programme(config().programme_file))
    # On a machine that they share, the web goes first: a person waits for it, and nobody for a worker's milliseconds.
    os.nice(NICENESS)
    if arguments.kind == "party":
        work(Party(arguments.party))
        return
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run = {"relay": relay.run, "ticker": ticker.run}[arguments.kind]
    structlog.get_logger().info("process_started", process=arguments.kind)
    settle_memory()
    run(programme(config().programme_file), stop)


def work(party: Party) -> None:
    """Serve one party's queue.

    RQ's SimpleWorker runs jobs in this process: a fork per job would cost more than the bag itself, and a crash loses
    nothing because PostgreSQL remembers what was not acknowledged (docs/adr).
    """
    import workers.handlers  # noqa: F401 - imported before the first job, so that it is not paid for then

    logging.getLogger("rq.worker").setLevel(logging.WARNING)
    redis = connect(answer_within=None)
    worker = queues.worker_of(party, redis)
    structlog.get_logger().info("process_started", process="worker", party=party.value)
    settle_memory()
    worker.work(logging_level="WARNING")


if __name__ == "__main__":
    main()

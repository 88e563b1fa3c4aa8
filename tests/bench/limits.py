"""What this machine can do without the service: PostgreSQL by pgbench, RQ with one plain job per message."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Mapping

from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from coordinator.local.servers import EmbeddedPostgres, postgres_binaries

PLAIN_QUEUES = 5  # as many plain workers as the service has parties


def pgbench_tps(postgres: EmbeddedPostgres, seconds: int) -> float:
    """TPC-B-like transactions per second with 8 clients, on the same PostgreSQL and the same disk."""
    postgres.create_database("pgbench")
    common = ["-h", str(postgres.sockets), "-U", "postgres"]
    pgbench = str(postgres_binaries() / "pgbench")
    subprocess.run([pgbench, "-i", "-q", "-s", "5", *common, "pgbench"], check=True, capture_output=True)
    done = subprocess.run(
        [pgbench, "-c", "8", "-j", "2", "-T", str(seconds), *common, "pgbench"],
        check=True,
        capture_output=True,
        text=True,
    )
    postgres.drop_database("pgbench")
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout
    return float(found.group(1))


def nothing(message: str) -> None:
    """The job of the plain baseline: it receives a message and does nothing with it."""


def plain_rq_per_s(environment: Mapping[str, str], messages: int, worker_class: str) -> float:
    """Messages per second through plain RQ: unencrypted, one job each, no database, one worker per queue."""
    redis = Redis.from_url(environment["REDIS_URL"])
    queues = [Queue(f"plain-{number}", connection=redis, serializer=JSONSerializer) for number in range(PLAIN_QUEUES)]
    for number in range(messages):
        queues[number % PLAIN_QUEUES].enqueue(nothing, "x" * 300, result_ttl=0)
    began = time.perf_counter()
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.bench.plain_worker", worker_class, queue.name],
            env=dict(environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for queue in queues
    ]
    # Starting Python is not what is compared: the clock runs from the first job that is done.
    while sum(queue.count for queue in queues) == messages:
        time.sleep(0.001)
    began, left = time.perf_counter(), sum(queue.count for queue in queues)
    for worker in workers:
        worker.wait()
    seconds = time.perf_counter() - began
    assert sum(queue.count for queue in queues) == 0
    return left / seconds

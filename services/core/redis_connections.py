"""Connecting to Redis or Valkey, which only carries: it may be wiped at any moment."""

from __future__ import annotations

from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from services.core.config import config
from services.core.errors import InvalidConfiguration


def connect(*, answer_within: float | None = 2.0) -> Redis:
    """A client of ``REDIS_URL`` that fails fast; whoever uses it decides whether to try again.

    Takes ``redis://``, ``rediss://``, ``unix://`` and ``sentinel://host:port,host:port/service``. ``answer_within`` is
    in seconds; None waits for ever, as a worker does for its next job.
    """
    url = config().redis_url.reveal()
    if url.startswith("sentinel://"):
        return _through_sentinel(url, answer_within)
    return Redis.from_url(
        url,
        socket_connect_timeout=2,
        socket_timeout=answer_within,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=30,
    )


def _through_sentinel(url: str, answer_within: float | None) -> Redis:
    parts = urlsplit(url)
    service = parts.path.strip("/")
    hosts = [host.rpartition(":") for host in parts.netloc.rpartition("@")[2].split(",")]
    if not service or not all(name and port.isdigit() for name, _, port in hosts):
        raise InvalidConfiguration("A Sentinel address reads sentinel://host:port,host:port/service.")
    addresses = [(name, int(port)) for name, _, port in hosts]
    sentinel = Sentinel(addresses, socket_timeout=2)  # type: ignore[no-untyped-call]  # redis ships no types for it
    options = {"socket_timeout": answer_within, "password": parts.password}
    master: Redis = sentinel.master_for(service, **options)  # type: ignore[no-untyped-call]  # likewise
    return master

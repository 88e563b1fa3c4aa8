"""Connecting to Redis or Valkey, which only carries: it may be wiped at any moment."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from services.core.config import config
from services.core.errors import InvalidConfiguration

CONNECT_WITHIN: Final = 2.0


def connect(*, answer_within: float | None = 2.0) -> Redis:
    """A client of ``REDIS_URL`` that fails fast; whoever uses it decides whether to try again.

    Takes ``redis://``, ``rediss://``, ``unix://`` and ``sentinel://user:password@host:port,host:port/service`` (user
    and password are the service's). ``answer_within`` is in seconds; None waits for ever, as a worker does for its next
    job. Raises ``InvalidConfiguration`` for any other address.
    """
    url = config().redis_url.reveal()
    options = {**_fail_fast(answer_within), "health_check_interval": 30}
    try:
        parts = urlsplit(url)
        return _through_sentinel(parts, options) if parts.scheme == "sentinel" else Redis.from_url(url, **options)
    except ValueError:
        # Not chained: what it says may hold the address with its password.
        raise InvalidConfiguration(
            "REDIS_URL must read redis://…, rediss://…, unix://… or sentinel://host:port,host:port/service."
        ) from None


def _fail_fast(answer_within: float | None) -> dict[str, Any]:
    return {
        "socket_connect_timeout": CONNECT_WITHIN,
        "socket_timeout": answer_within,
        "retry": Retry(NoBackoff(), 0),
    }


def _through_sentinel(parts: SplitResult, options: dict[str, Any]) -> Redis:
    """The server that the Sentinels call the service's. Raises ``ValueError`` for an address that names none."""
    service = parts.path.strip("/")
    user, _, hosts = parts.netloc.rpartition("@")
    places = [place.rpartition(":") for place in hosts.split(",")]
    if not service or not all(name and port.isdecimal() for name, _, port in places):
        raise ValueError("sentinel")
    name, _, password = user.partition(":")
    sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis ships no types for it
        [(host, int(port)) for host, _, port in places], sentinel_kwargs=_fail_fast(CONNECT_WITHIN)
    )
    master: Redis = sentinel.master_for(  # type: ignore[no-untyped-call]  # likewise
        service, username=unquote(name) or None, password=unquote(password) or None, **options
    )
    return master

"""Rate limits for what anybody may call. Signed-in calls are limited by what their role may do instead.

Counters live in Redis, shared by all web processes; while Redis is away each process counts for itself.
"""

from __future__ import annotations

from typing import Final

from flask import Flask
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

from services.core.redis_connections import connect

# Per client address. Sign-in has a lock-out of its own per account; this keeps one address from trying many accounts.
ANONYMOUS_LIMIT: Final = "60 per minute"
ANONYMOUS_PATHS: Final = frozenset(
    {"/api/v1/sign-in", "/api/v1/links/exchange", "/api/v1/codes", "/api/v1/codes/exchange"}
)


def register(app: Flask) -> None:
    """Limit the anonymous routes of ``app``."""
    limiter = Limiter(
        get_remote_address,
        storage_uri="redis://",
        storage_options={"connection_pool": connect().connection_pool},
        strategy="fixed-window",
        in_memory_fallback=[ANONYMOUS_LIMIT],
        in_memory_fallback_enabled=True,
        headers_enabled=False,
    )
    limiter.init_app(app)
    limited = limiter.limit(ANONYMOUS_LIMIT)
    for rule in app.url_map.iter_rules():
        if rule.rule in ANONYMOUS_PATHS:
            app.view_functions[rule.endpoint] = limited(app.view_functions[rule.endpoint])

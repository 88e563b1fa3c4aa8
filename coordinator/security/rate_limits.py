"""Rate limits for what anybody may call. Signed-in calls are limited by what their role may do instead.

Counters live in Redis, shared by all web processes; while Redis is away each process counts for itself.
"""

from __future__ import annotations

import math
import time
from typing import Final

from flask import Flask, Response
from flask_limiter import Limiter, RateLimitExceeded
from flask_limiter.util import get_remote_address
from werkzeug.middleware.proxy_fix import ProxyFix

from coordinator.problems import SENTENCES, problem
from services.core.config import config
from services.core.redis_connections import connect

# Per client address. Sign-in has a lock-out of its own per account; this keeps one address from trying many accounts.
WINDOW_SECONDS: Final = 60
ANONYMOUS_LIMIT: Final = f"60 per {WINDOW_SECONDS} seconds"
ANONYMOUS_PATHS: Final = frozenset(
    {"/api/v1/sign-in", "/api/v1/links/exchange", "/api/v1/codes", "/api/v1/codes/exchange"}
)


def register(app: Flask) -> None:
    """Limit the anonymous routes of ``app``, by the address of the client in front of our own proxies."""
    if config().proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=config().proxies, x_proto=0)  # type: ignore[method-assign]  # so meant
    limiter = Limiter(
        get_remote_address,
        storage_uri="redis://",
        storage_options={"connection_pool": connect().connection_pool},
        strategy="moving-window",
        # The same limits, counted here. Limits of its own would be put on every route, also on those without any.
        in_memory_fallback_enabled=True,
        headers_enabled=False,
    )
    limiter.init_app(app)

    def refuse(error: RateLimitExceeded) -> Response:
        window = limiter.current_limit
        seconds = math.ceil(window.reset_at - time.time()) if window is not None else 60
        answer = problem(429, "too_many_requests", SENTENCES[429])
        # The window's end is told in whole seconds, rounded up; no wait is longer than the window itself.
        answer.headers["Retry-After"] = str(min(max(1, seconds), WINDOW_SECONDS))
        return answer

    app.register_error_handler(RateLimitExceeded, refuse)
    limited = limiter.limit(ANONYMOUS_LIMIT)
    for rule in app.url_map.iter_rules():
        if rule.rule in ANONYMOUS_PATHS:
            app.view_functions[rule.endpoint] = limited(app.view_functions[rule.endpoint])

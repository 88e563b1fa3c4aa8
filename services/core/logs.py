"""Logging: one JSON object per line on standard error; event names are constant snake_case, values are ids and counts.

Nothing personal is ever handed to a logger. As a second line of defence, redacting types print as ``<personal>`` and
libraries that log what they send or receive are kept quiet.
"""

from __future__ import annotations

import logging
import sys

import structlog

TALKATIVE = ("twilio", "easypost", "urllib3", "requests", "rq", "sqlalchemy", "alembic", "httpx", "httpcore")


def configure_logs(level: int = logging.INFO) -> None:
    """Set up logging for this process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format='{"level": "%(levelname)s", "logger": "%(name)s"}'
    )
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)

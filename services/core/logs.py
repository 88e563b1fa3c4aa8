"""Logging: one JSON object per line on standard error; event names are constant snake_case, values are ids and counts.

Nothing personal is ever handed to a logger. As a second line of defence, redacting types print as ``<personal>``,
libraries that log what they send or receive are kept quiet, and of what else is logged or goes wrong only the place
and the error's class are written, never its text: it may hold what somebody typed in.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from types import TracebackType

import structlog

from services.core.errors import CoordinationError

TALKATIVE = ("twilio", "easypost", "urllib3", "requests", "rq", "sqlalchemy", "alembic", "httpx", "httpcore")


class _StandardError:
    """Standard error as it is at the time of writing, not as it was when logging was set up."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


class _Wordless(logging.Formatter):
    """What a library logs, without its message and without the text of an exception."""

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[0] if record.exc_info else None
        return json.dumps(
            {
                "level": record.levelname.lower(),
                "logger": record.name,
                "place": f"{record.module}:{record.lineno}",
                "error": None if error is None else error.__name__,
                "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            }
        )


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
        logger_factory=structlog.WriteLoggerFactory(file=_StandardError()),  # type: ignore[arg-type]  # writes like one
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(_StandardError())
    handler.setFormatter(_Wordless())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    sys.excepthook = _log_uncaught


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The last words of a process; only those of our own errors are fit to be read by anybody."""
    if issubclass(kind, KeyboardInterrupt):
        return
    place = "unknown"
    while trace is not None:
        place, trace = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}", trace.tb_next
    reason = error.message if isinstance(error, CoordinationError) else None
    structlog.get_logger().critical("process_failed", error=kind.__name__, place=place, reason=reason)

"""The ticker: everything that happens because time passes. One is active; others stand by (see ``standby.py``).

Each beat runs the list below. A step that fails is logged and tried again on the next beat; it does not stop the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError

from services.audit.verification import sign_heads
from services.core.answers import forget_expired_answers
from services.core.config import config
from services.core.database import transaction
from services.core.programme import Programme
from services.core.redis_connections import connect
from services.messaging.escalations import escalate_due
from services.messaging.timers import fire_due
from services.prescribing.security_reviews import open_due
from services.prescribing.signing_access import end_lapsed
from services.prescribing.signing_logs import keep_due
from workers.errands import ERRANDS
from workers.jobs import RUN_ERRANDS
from workers.queues import depths, push, queue_of
from workers.standby import Standby, Stop

log = structlog.get_logger()

BEAT_SECONDS = 0.5


@dataclass
class Step:
    """One thing to do every ``every_seconds``."""

    name: str
    run: Callable[[Programme], None]
    every_seconds: float
    last: float = 0.0

    def is_due(self, moment: float) -> bool:
        """Whether it is time again, on the machine's own clock: moving the service's clock must not starve a step."""
        return moment - self.last >= self.every_seconds


def fire_timers(programme: Programme) -> None:
    """Emit the events whose time has come."""
    _until_none(lambda: _in_transaction(lambda session: fire_due(session)), "timers_fired")


def escalate_tasks(programme: Programme) -> None:
    """Escalate the tasks that are past their time."""
    _until_none(lambda: _in_transaction(lambda session: escalate_due(session, programme)), "tasks_escalated")


def ask_for_errands(programme: Programme) -> None:
    """Let the workers make the outside calls that became due by time alone, such as texts held over night."""
    with connect() as redis:
        for party, waiting in depths(redis, ERRANDS).items():
            if waiting == 0:
                push(queue_of(party, redis), RUN_ERRANDS, party.value)


def end_signing_access(programme: Programme) -> None:
    """Take access to signing from those whose papers ran out, and tell of what ended."""
    _until_none(lambda: _in_transaction(end_lapsed), "signing_access_ended")


def keep_signing_logs(programme: Programme) -> None:
    """Keep the monthly logs of those who signed."""
    _until_none(lambda: _in_transaction(keep_due), "signing_logs_kept")


def open_security_reviews(programme: Programme) -> None:
    """Open the review of yesterday's security events."""
    _until_none(lambda: _in_transaction(open_due), "security_review_opened")


def sign_audit_heads(programme: Programme) -> None:
    """Sign where the audit chains end, in the database and in a file outside it."""
    with transaction() as session:
        sign_heads(session, config().audit_heads_file)


def forget_answers(programme: Programme) -> None:
    """Remove the stored answers that are past their time."""
    with transaction() as session:
        forget_expired_answers(session)


def steps() -> Sequence[Step]:
    """What the ticker does, and how often."""
    return (
        Step("fire_timers", fire_timers, BEAT_SECONDS),
        Step("escalate_tasks", escalate_tasks, BEAT_SECONDS),
        Step("ask_for_errands", ask_for_errands, 1.0),
        Step("end_signing_access", end_signing_access, 10.0),
        Step("keep_signing_logs", keep_signing_logs, 60.0),
        Step("open_security_reviews", open_security_reviews, 60.0),
        Step("sign_audit_heads", sign_audit_heads, 60.0),
        Step("forget_answers", forget_answers, 600.0),
    )


def run(programme: Programme, stop: Stop) -> None:
    """Tick until told to stop, whatever PostgreSQL and Redis do meanwhile."""
    standby = Standby("ticker")
    of_steps = steps()
    while not stop.is_set():
        try:
            if standby.is_active():
                beat(of_steps, programme)
        except SQLAlchemyError as error:
            log.warning("ticker_interrupted", error=type(error).__name__)
            standby.release()
        stop.wait(BEAT_SECONDS)
    standby.release()


def beat(of_steps: Sequence[Step], programme: Programme) -> None:
    """Run each of the steps whose time has come."""
    for step in of_steps:
        if not step.is_due(time.monotonic()):
            continue
        step.last = time.monotonic()
        try:
            step.run(programme)
        except Exception as error:  # noqa: BLE001 - whatever it is must not keep the other steps from their time
            log.warning("ticker_step_failed", step=step.name, error=type(error).__name__)


def _until_none(once: Callable[[], int], event: str) -> None:
    while count := once():
        log.info(event, count=count)


def _in_transaction(work: Callable[..., int]) -> int:
    with transaction() as session:
        return work(session)

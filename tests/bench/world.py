"""The service as it is measured: the whole local stack, with people, eligible patients and stored tasks in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import text

from coordinator.local.stack import Stack
from services.core import clock
from services.core import config as configuration
from services.core.actors import SYSTEM, Role
from services.core.database import Base, transaction
from services.core.ids import new_id
from services.eligibility.models import EligibilityDecision, EligibilityReview
from services.people import tokens
from services.vault import keyring
from tests.factories import World, make_account, make_world
from tests.factories_screening import make_eligible

PATIENTS_AT_ONCE = 20


@dataclass
class Bench:
    """The running stack and who calls it. ``episodes`` are eligible and wait for a prescription."""

    stack: Stack
    world: World
    therapist_token: str
    prescriber_token: str
    template: UUID
    episodes: list[UUID] = field(default_factory=list)


@contextmanager
def running(directory: Path, patients: int) -> Iterator[Bench]:
    """Start everything afresh, with ``patients`` eligible patients of one practice."""
    stack = Stack(directory, port=0)
    stack.clear()
    with stack:
        os.environ.update(stack.environment)
        configuration.config.cache_clear()
        keyring.keyring.cache_clear()
        with transaction() as session:
            world = make_world(session)
            therapist = tokens.issue_token(session, SYSTEM, world.therapist).token.reveal()
            prescriber = tokens.issue_token(session, SYSTEM, world.prescriber).token.reveal()
            template = make_eligible(session, world=world).id
        bench = Bench(stack, world, therapist, prescriber, template)
        while len(bench.episodes) < patients:
            with transaction() as session:
                made = [make_eligible(session, world=world).id for _ in range(PATIENTS_AT_ONCE)]
            bench.episodes += made
        yield bench


def grant_eligibility(bench: Bench, episode_id: UUID) -> None:
    """Let an episode be eligible as the template is, past screening and decision, which are not what is measured.

    The copied contents are sealed for another patient and could not be opened; only their dates count here.
    """
    with transaction() as session:
        session.execute(
            _GRANT,
            {
                "episode": episode_id,
                "template": bench.template,
                "prescriber": bench.world.prescriber.id,
                "review": new_id(),
                "decision": new_id(),
            },
        )


def _copied(model: type[Base], **changed: str) -> str:
    """The columns of a table and, for each, the expression that a copy gets."""
    names = [column.key for column in model.__table__.columns]
    return f"({', '.join(names)}) SELECT {', '.join(changed.get(name, f'old.{name}') for name in names)}"


_OF_THIS = {"episode_id": "this.id", "patient_id": "this.patient_id"}
_GRANT = text(
    f"""
    WITH this AS (
        UPDATE episodes SET state = 'eligible', prescriber_id = :prescriber WHERE id = :episode RETURNING id, patient_id
    ), review AS (
        INSERT INTO eligibility_reviews
        {_copied(EligibilityReview, **_OF_THIS, id="CAST(:review AS uuid)", screening_id="screenings.id")}
        FROM eligibility_reviews AS old, this, screenings
        WHERE old.episode_id = :template AND screenings.episode_id = :episode
    )
    INSERT INTO eligibility_decisions
    {_copied(EligibilityDecision, **_OF_THIS, id="CAST(:decision AS uuid)", review_id="CAST(:review AS uuid)")}
    FROM eligibility_decisions AS old, this WHERE old.episode_id = :template
    """
)


def store_tasks(bench: Bench, total: int) -> None:
    """Fill up to ``total`` stored tasks, nineteen of twenty completed, spread over 200 other owners."""
    with transaction() as session:
        stored = session.execute(text("SELECT count(*) FROM tasks")).scalar_one()
        session.execute(
            text(
                """
                INSERT INTO tasks (id, kind, state, priority, party, owner_id, episode_id, subject_kind, subject_id,
                                   due_at, escalation, escalate_at, created_at, ended_at, version)
                SELECT gen_random_uuid(), 'sign_prescription',
                       CASE WHEN n % 20 = 0 THEN 'requested' ELSE 'completed' END, 'routine', 'medical_team',
                       md5('owner' || n % 200)::uuid, NULL, 'bench', gen_random_uuid(),
                       :now - make_interval(mins => n % 500000), 0, :later, :now, NULL, 1
                FROM generate_series(1, :missing) AS n
                """
            ),
            {"missing": total - stored, "now": clock.now(), "later": clock.now() + timedelta(days=365)},
        )
    with transaction() as session:
        session.execute(text("ANALYZE tasks"))


def owner_with_tasks(bench: Bench, open_tasks: int, *, oldest: bool) -> str:
    """A new prescriber's token, who has some open tasks: due soon, or the oldest of all that are stored."""
    with transaction() as session:
        account = make_account(session, Role.PRESCRIBER, organisation=bench.world.medical_team)
        token = tokens.issue_token(session, SYSTEM, account).token.reveal()
        session.execute(
            text(
                """
                INSERT INTO tasks (id, kind, state, priority, party, owner_id, episode_id, subject_kind, subject_id,
                                   due_at, escalation, escalate_at, created_at, ended_at, version)
                SELECT gen_random_uuid(), 'sign_prescription', 'requested', 'routine', 'medical_team', :owner, NULL,
                       'bench', gen_random_uuid(), :due + make_interval(secs => n), 0, :later, :now, NULL, 1
                FROM generate_series(1, :number) AS n
                """
            ),
            {
                "owner": account.id,
                "due": clock.now() + (timedelta(days=-5000) if oldest else timedelta(hours=1)),
                "later": clock.now() + timedelta(days=365),
                "now": clock.now(),
                "number": open_tasks,
            },
        )
    return token

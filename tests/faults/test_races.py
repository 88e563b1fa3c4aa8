"""Two at the same instant over HTTP: one decides, the other is told; one key, one effect, one answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from uuid import UUID

import pytest
import requests
from sqlalchemy import func, select

from services.core.actors import Role
from services.core.database import transaction
from services.core.ids import new_id
from services.core.vocabulary import EventKind
from services.eligibility.models import EligibilityDecision
from services.messaging.models import Event
from services.people.models import Account, Episode
from services.prescribing.models import Prescription
from tests.at_once import side_by_side
from tests.bench.bodies import draft_body, referral_body
from tests.factories import make_account
from tests.factories_screening import make_eligible, make_referral, make_screening
from tests.faults.counts import Count
from tests.faults.stacks import Service

ROUNDS = 4
AT_ONCE = 4
DECISIONS = {
    "both approve": ({"decision": "approve"}, {"decision": "approve"}),
    "one approves, one declines": ({"decision": "approve"}, {"decision": "decline", "reason": "Not now."}),
}


@pytest.fixture(scope="module")
def prescribers() -> list[Account]:
    """Filled by the first test that asks, because it takes the running service to make them."""
    return []


def two_prescribers(service: Service, made: list[Account]) -> Sequence[Account]:
    if not made:
        with transaction() as session:
            made.append(make_account(session, Role.PRESCRIBER, organisation=service.world.medical_team))
        made.append(service.world.prescriber)
    return made


@pytest.mark.parametrize("how", DECISIONS)
def test_two_prescribers_decide_at_the_same_instant(
    service: Service, counted: Callable[[Count], None], prescribers: list[Account], how: str
) -> None:
    one, other = two_prescribers(service, prescribers)
    effects, codes = [], Counter[int]()
    for _ in range(ROUNDS):
        with transaction() as session:
            referred = make_referral(session, world=service.world, sms_agreement=None)
            make_screening(session, referred.episode)
            episode_id = referred.episode.id
        answers = side_by_side(
            [deciding(service, who, episode_id, body) for who, body in zip((one, other), DECISIONS[how], strict=True)]
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409], [answer.text for answer in answers]
        codes.update(answer.status_code for answer in answers)
        decided = next(answer for answer in answers if answer.status_code == 200).json()
        with transaction() as session:
            rows = session.scalars(
                select(EligibilityDecision).where(EligibilityDecision.episode_id == episode_id)
            ).all()
            assert [str(row.decided_by) for row in rows] == [decided["decided_by"]]
            effects.append(len(rows))
    counted(Count.of(f"two prescribers at once: {how}", effects, ", ".join(f"{n} x {c}" for c, n in codes.items())))


def deciding(service: Service, who: Account, episode_id: UUID, body: dict[str, str]) -> Callable[[], requests.Response]:
    service.token(who)
    return lambda: service.post(who, f"/episodes/{episode_id}/eligibility/decision", body)


def test_the_same_referral_posted_several_times_at_once(service: Service, counted: Callable[[Count], None]) -> None:
    therapist = service.world.therapist
    service.token(therapist)
    effects = []
    for _ in range(ROUNDS):
        before = episodes_of(therapist)
        body, key = referral_body(), new_id().hex
        post = posting(service, therapist, "/referrals", body, key)
        answers = side_by_side([post] * AT_ONCE)
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.text for answer in answers}) == 1
        assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == AT_ONCE - 1
        fresh = episodes_of(therapist) - before
        assert {str(episode_id) for episode_id in fresh} == {answers[0].json()["episode_id"]}
        effects.append(len(fresh))
    counted(Count.of("same POST several times at once: referral", effects, f"{ROUNDS * AT_ONCE} requests"))


def test_the_same_draft_posted_several_times_at_once(service: Service, counted: Callable[[Count], None]) -> None:
    prescriber = service.world.prescriber
    service.token(prescriber)
    with transaction() as session:
        episode_ids = [make_eligible(session, world=service.world, sms_agreement=None).id for _ in range(ROUNDS)]
        drafted = events_of(EventKind.PRESCRIPTION_DRAFTED)
    effects = []
    for episode_id in episode_ids:
        post = posting(service, prescriber, "/prescriptions", draft_body(episode_id), new_id().hex)
        answers = side_by_side([post] * AT_ONCE)
        assert [answer.status_code for answer in answers] == [201] * AT_ONCE, answers[0].text
        assert len({answer.json()["id"] for answer in answers}) == 1
        with transaction() as session:
            made = select(func.count()).where(Prescription.episode_id == episode_id)
            effects.append(session.scalar(made) or 0)
    assert events_of(EventKind.PRESCRIPTION_DRAFTED) - drafted == ROUNDS
    counted(Count.of("same POST several times at once: draft", effects, f"{ROUNDS * AT_ONCE} requests"))


def posting(
    service: Service, who: Account, path: str, body: dict[str, object], key: str
) -> Callable[[], requests.Response]:
    return lambda: service.post(who, path, body, key=key)


def episodes_of(therapist: Account) -> set[UUID]:
    with transaction() as session:
        return set(session.scalars(select(Episode.id).where(Episode.therapist_id == therapist.id)))


def events_of(kind: EventKind) -> int:
    with transaction() as session:
        return session.scalar(select(func.count()).where(Event.kind == kind)) or 0

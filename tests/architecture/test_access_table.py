"""Every role × action × relationship of the access table, and the sentences it has to keep true."""

from __future__ import annotations

from itertools import product

import pytest

from services.core.actors import Actor, Role
from services.core.clock import now
from services.core.errors import NotAllowed, NotFound
from services.core.ids import new_id
from services.people.access import POLICY, Action, Relationship, authorize, relationship
from services.people.models import Episode

TEAM, OTHER_TEAM, PRACTICE, PHARMACY, OTHER_PHARMACY, DESK = (new_id() for _ in range(6))
EPISODE = Episode(
    id=new_id(),
    patient_id=new_id(),
    practice_id=PRACTICE,
    therapist_id=new_id(),
    medical_team_id=TEAM,
    prescriber_id=new_id(),
    pharmacy_id=PHARMACY,
    state="in_treatment",
    programme_version="test",
    opened_at=now(),
)

# Each role as it can stand to the episode: related as the table says, or a stranger in every way that matters.
ACTORS: dict[tuple[Role, str], Actor] = {
    (Role.THERAPIST, "of record"): Actor(EPISODE.therapist_id, Role.THERAPIST, PRACTICE),
    (Role.THERAPIST, "colleague in the same practice"): Actor(new_id(), Role.THERAPIST, PRACTICE),
    (Role.THERAPIST, "another practice"): Actor(new_id(), Role.THERAPIST, new_id()),
    (Role.PRESCRIBER, "own team"): Actor(new_id(), Role.PRESCRIBER, TEAM),
    (Role.PRESCRIBER, "another team"): Actor(new_id(), Role.PRESCRIBER, OTHER_TEAM),
    (Role.MEDICAL_STAFF, "own team"): Actor(new_id(), Role.MEDICAL_STAFF, TEAM),
    (Role.MEDICAL_STAFF, "another team"): Actor(new_id(), Role.MEDICAL_STAFF, OTHER_TEAM),
    (Role.PHARMACIST, "own pharmacy"): Actor(new_id(), Role.PHARMACIST, PHARMACY),
    (Role.PHARMACIST, "another pharmacy"): Actor(new_id(), Role.PHARMACIST, OTHER_PHARMACY),
    (Role.PATIENT, "self"): Actor(EPISODE.patient_id, Role.PATIENT, episode_id=EPISODE.id),
    (Role.PATIENT, "own, linked to another episode"): Actor(EPISODE.patient_id, Role.PATIENT, episode_id=new_id()),
    (Role.PATIENT, "somebody else"): Actor(new_id(), Role.PATIENT, episode_id=new_id()),
    (Role.OPERATIONS, "desk"): Actor(new_id(), Role.OPERATIONS, DESK),
    (Role.NOBODY, "anonymous"): Actor(new_id(), Role.NOBODY),
}

RELATED = {
    (Role.THERAPIST, "of record"): Relationship.OWN_PATIENT,
    (Role.PRESCRIBER, "own team"): Relationship.OWN_TEAM,
    (Role.MEDICAL_STAFF, "own team"): Relationship.OWN_TEAM,
    (Role.PHARMACIST, "own pharmacy"): Relationship.OWN_PHARMACY,
    (Role.PATIENT, "self"): Relationship.SELF,
}


@pytest.mark.parametrize("who", ACTORS, ids=lambda who: f"{who[0]}-{who[1]}".replace(" ", "_"))
@pytest.mark.parametrize("action", Action)
def test_the_table_alone_decides_on_an_episode(action: Action, who: tuple[Role, str]) -> None:
    actor, actual, needed = ACTORS[who], RELATED.get(who), POLICY[action].get(who[0])
    assert relationship(actor, EPISODE) == actual
    if needed is not None and needed in (actual, Relationship.ANY):
        authorize(actor, action, EPISODE)
    elif actual is None:
        with pytest.raises(NotFound):
            authorize(actor, action, EPISODE)
    else:
        with pytest.raises(NotAllowed):
            authorize(actor, action, EPISODE)


@pytest.mark.parametrize(("action", "role"), list(product(Action, Role)))
def test_a_role_that_the_table_does_not_name_is_denied_without_an_episode_too(action: Action, role: Role) -> None:
    actor = Actor(new_id(), role, new_id())
    if role is Role.SYSTEM or role in POLICY[action]:
        authorize(actor, action)
    else:
        with pytest.raises(NotAllowed):
            authorize(actor, action)


def test_every_action_stands_in_the_table() -> None:
    assert set(POLICY) == set(Action)


def test_nobody_may_do_nothing() -> None:
    assert all(Role.NOBODY not in roles for roles in POLICY.values())


def roles_of(*actions: Action) -> set[Role]:
    return {role for action in actions for role in POLICY[action]}


def test_the_pharmacy_never_sees_scores_notes_or_sessions() -> None:
    hidden = (
        Action.READ_SCREENING,
        Action.READ_ELIGIBILITY,
        Action.READ_OUTCOME,
        Action.READ_ASSESSMENT,
        Action.READ_COHORT,
        Action.READ_PSYCHOTHERAPY_NOTE,
        Action.READ_SESSION,
        Action.READ_VITALS,
        Action.READ_ADVERSE_EVENT,
        Action.READ_REFERRAL,
        Action.READ_REFILL,
    )
    assert Role.PHARMACIST not in roles_of(*hidden)


def test_only_therapists_touch_psychotherapy_notes() -> None:
    assert roles_of(Action.READ_PSYCHOTHERAPY_NOTE, Action.WRITE_PSYCHOTHERAPY_NOTE) == {Role.THERAPIST}


def test_only_prescribers_decide_sign_and_clear() -> None:
    decisions = (
        Action.DECIDE_ELIGIBILITY,
        Action.READY_PRESCRIPTION,
        Action.SIGN_PRESCRIPTION,
        Action.CANCEL_PRESCRIPTION,
        Action.DECIDE_REFILL,
        Action.DECIDE_RESPONSE,
        Action.CLEAR_RISK,
        Action.CLOSE_ADVERSE_EVENT,
    )
    assert roles_of(*decisions) == {Role.PRESCRIBER}


def test_operations_sees_no_clinical_content() -> None:
    clinical = {action for action in Action if Role.OPERATIONS in POLICY[action]}
    assert clinical <= {
        Action.EXPORT_PATIENT,
        Action.READ_INBOX,
        Action.WORK_TASK,
        Action.READ_NOTICE,
        Action.READ_AUDIT,
        Action.MANAGE_ACCOUNTS,
        Action.READ_THERAPIST_PROFILE,
        Action.CHANGE_THERAPIST_PROFILE,
        Action.NOMINATE_SIGNER,
        Action.END_SIGNING_GRANT,
        Action.READ_SIGNING_GRANT,
        Action.READ_SECURITY_REVIEW,
        Action.REVIEW_SECURITY,
        Action.READ_OWN_ACCOUNT,
        Action.MANAGE_OWN_TOKENS,
        Action.SIGN_OUT,
        Action.HANDLE_DEAD_LETTER,
        Action.READ_COHORT,  # counts of many, small cells left out
        *(action for action in Action if action.value in {"message.read", "question.read", "question.answer"}),
    }

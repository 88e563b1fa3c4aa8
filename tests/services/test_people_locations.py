"""Practices with several places to treat at: the clinic's own list, and what is booked and shipped there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy.orm import Session

from coordinator.cli import main
from services.core import clock
from services.core.actors import SYSTEM, Actor
from services.core.errors import InvalidInput, NotAllowed, NotFound, RuleRefused
from services.people.locations import LocationDetails, create_location, list_locations
from services.people.models import Location, Organisation
from services.sessions import bookings
from services.sessions.places import Place, Site
from services.sessions.states import SessionKind
from services.vault.boxes import box
from tests.factories import make_world
from tests.factories_prescribing import Case, make_case
from tests.factories_sessions import booking, therapist


def make_location(session: Session, practice: Organisation, number: int = 1, **changes: Any) -> Location:
    given = {
        "name": f"Clinic {number}",
        "street": f"{number} Harbor Way",
        "city": "Oakland",
        "state": "CA",
        "postal_code": "94607",
    }
    return create_location(session, SYSTEM, LocationDetails(practice_id=practice.id, **{**given, **changes}))


@pytest.fixture
def case(session: Session) -> Case:
    return make_case(session)


@pytest.fixture
def practice(session: Session, case: Case) -> Organisation:
    return session.get_one(Organisation, case.episode.practice_id)


def book_talk(session: Session, case: Case, **changes: Any) -> Place:
    wanted = booking(kind=SessionKind.PREPARATION, **changes)
    row = bookings.book_session(session, therapist(case), case.episode.id, wanted).row
    return Place.from_dict(box(session, row.patient_id).open(row, "place").reveal())


def test_a_practice_lists_its_locations_to_its_own_episodes(
    session: Session, case: Case, practice: Organisation
) -> None:
    assert list_locations(session, therapist(case), case.episode.id) == []
    made = [make_location(session, practice, number) for number in (1, 2)]
    assert list_locations(session, therapist(case), case.episode.id) == made
    with pytest.raises(NotFound):
        list_locations(session, make_world(session).actor("therapist"), case.episode.id)


def test_a_session_in_the_clinic_says_at_which_of_several_locations(
    session: Session, case: Case, practice: Organisation
) -> None:
    make_location(session, practice)
    assert book_talk(session, case, site=Site.CLINIC).location_id is None  # one place needs no name
    second = make_location(session, practice, 2)
    with pytest.raises(RuleRefused) as refused:
        book_talk(session, case, site=Site.CLINIC)
    assert (refused.value.rule, refused.value.field) == ("sessions.location_missing", "location_id")
    tomorrow = clock.now() + timedelta(days=1)
    placed = book_talk(session, case, site=Site.CLINIC, location_id=second.id, starts_at=tomorrow)
    assert placed.location_id == second.id


def test_another_practices_location_is_none_of_ours(session: Session, case: Case) -> None:
    elsewhere = make_location(session, make_world(session).practice)
    with pytest.raises(RuleRefused) as refused:
        book_talk(session, case, site=Site.CLINIC, location_id=elsewhere.id)
    assert (refused.value.rule, refused.value.field) == ("sessions.location_unknown", "location_id")


def test_only_operations_adds_a_location_and_only_to_a_practice(session: Session, practice: Organisation) -> None:
    world = make_world(session)
    details = LocationDetails(
        practice_id=world.pharmacy.id, name="X", street="1 Way", city="Oakland", state="CA", postal_code="94607"
    )
    with pytest.raises(InvalidInput, match="Only a practice"):
        create_location(session, SYSTEM, details)
    actor: Actor = world.actor("therapist")
    with pytest.raises(NotAllowed):
        create_location(session, actor, details)
    with pytest.raises(InvalidInput) as refused:
        make_location(session, practice, state="ZZ")
    assert refused.value.field == "state"


def test_the_command_adds_a_location(session: Session, practice: Organisation) -> None:
    arguments = ["create-location", "--practice", str(practice.id), "--name", "North", "--street", "5 Bay Road"]
    shown = CliRunner().invoke(main, [*arguments, "--city", "Oakland", "--state", "CA", "--postal-code", "94607"])
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith("location ")

"""Other routes than under the tongue: orders that the clinic gives itself, without pharmacy, parcel or stock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from sqlalchemy import text
from sqlalchemy.orm import Session

from services.core import clock
from services.core import config as configuration
from services.core.errors import NotFound, RuleRefused
from services.core.ids import new_id
from services.core.personal import Personal
from services.core.programme import DEFAULT_FILE
from services.core.vocabulary import EventKind, Party
from services.prescribing import fills, prescriptions, signing
from services.prescribing.contents import Content
from services.prescribing.doses import Amounts, history_of, note_dose
from services.prescribing.models import Prescription
from services.prescribing.papers import BEFORE_ROUTES, canonical, signed_document
from services.prescribing.routes import Route, is_shipped
from services.prescribing.views import dosing_order, list_prescriptions, read_prescription
from services.vault.boxes import box
from tests.factories_messaging import emitted
from tests.factories_prescribing import Case, content, make_case, make_draft, make_fill, make_signed

NOON = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
INFUSION: dict[str, Any] = {
    "route": Route.INTRAVENOUS,
    "form": "solution_for_infusion",
    "dose_mg": 40,
    "first_session_dose_mg": 20,
    "quantity_units": 1,
    "directions": "Infuse over 40 minutes.",
}


@pytest.fixture
def moment() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def case(
    session: Session, moment: time_machine.Traveller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Case]:
    """A patient in a programme that offers every route."""
    offered = ", ".join(f'"{route}"' for route in Route)
    file = tmp_path / "every_route.toml"
    file.write_text(DEFAULT_FILE.read_text().replace('routes = ["sublingual"]', f"routes = [{offered}]"))
    monkeypatch.setenv("COORDINATOR_PROGRAMME", str(file))
    configuration.config.cache_clear()
    yield make_case(session)
    monkeypatch.undo()
    configuration.config.cache_clear()


def test_an_order_is_signed_without_asking_the_pharmacy(session: Session, case: Case) -> None:
    row = make_signed(session, case, **INFUSION)
    assert (row.state, row.supplied, is_shipped(row)) == ("signed", "clinic", False)
    assert emitted(session, EventKind.PRESCRIPTION_SIGNED) == []
    told = {each["party"] for each in emitted(session, EventKind.ORDER_SIGNED)}
    assert told == {Party.THERAPIST, Party.MEDICAL_TEAM}
    prescriptions.cancel(session, case.prescriber, row.id, Personal("Changed plan."))
    assert emitted(session, EventKind.PRESCRIPTION_CANCELLED) == []
    assert {each["party"] for each in emitted(session, EventKind.ORDER_CANCELLED)} == told


def test_an_order_is_never_filled_and_the_pharmacy_does_not_see_it(session: Session, case: Case) -> None:
    row = make_signed(session, case, **INFUSION)
    pharmacist = case.actor("pharmacist")
    with pytest.raises(RuleRefused) as refusal:
        fills.record_fill(session, pharmacist, row.id, 1)
    assert [finding.rule for finding in refusal.value.findings] == ["prescribing.fill_of_clinic_order"]
    with pytest.raises(NotFound):
        read_prescription(session, pharmacist, row.id)
    assert list_prescriptions(session, pharmacist, case.episode.id) == []
    assert list_prescriptions(session, case.actor("therapist"), case.episode.id) == [row]


def test_a_session_goes_by_an_order_as_soon_as_it_is_signed(session: Session, case: Case) -> None:
    therapist = case.actor("therapist")
    assert dosing_order(session, therapist, case.episode) is None
    row = make_signed(session, case, **INFUSION)
    order = dosing_order(session, therapist, case.episode)
    assert order is not None
    assert (order.prescription_id, order.route, order.is_shipped) == (row.id, Route.INTRAVENOUS, False)
    prescriptions.cancel(session, case.prescriber, row.id, Personal("Changed plan."))
    assert dosing_order(session, therapist, case.episode) is None


def test_several_routes_are_active_at_once_and_a_session_names_the_one_it_takes(
    session: Session, case: Case, moment: time_machine.Traveller
) -> None:
    infusion = make_signed(session, case, **INFUSION)
    moment.shift(timedelta(minutes=1))
    lozenges = make_signed(session, case)
    make_fill(session, case, lozenges)
    therapist = case.actor("therapist")

    def ordered(route: Route | None) -> object:
        order = dosing_order(session, therapist, case.episode, route)
        return order and order.prescription_id

    assert ordered(None) == lozenges.id
    assert ordered(Route.INTRAVENOUS) == infusion.id
    assert ordered(Route.SUBLINGUAL) == lozenges.id
    assert ordered(Route.NASAL) is None


def test_each_route_begins_with_a_first_session(session: Session, case: Case) -> None:
    lozenges = make_signed(session, case)
    make_fill(session, case, lozenges)
    with pytest.raises(RuleRefused) as refusal:
        make_draft(session, case, **{**INFUSION, "first_session_dose_mg": None})
    assert [finding.rule for finding in refusal.value.findings] == ["prescribing.first_session_dose_missing"]
    order = make_signed(session, case, **INFUSION)
    note_dose(
        session,
        prescription_id=order.id,
        session_id=new_id(),
        amounts=Amounts(dose_mg=20, used_units=0),
        taken_at=clock.now(),
    )
    own = box(session, case.episode.patient_id)
    by_vein = history_of(session, case.episode.id, own, Route.INTRAVENOUS)
    assert (by_vein.is_first, by_vein.last_dose_mg, by_vein.home_mg) == (False, 20, 0)
    under_tongue = history_of(session, case.episode.id, own)
    assert (under_tongue.is_first, under_tongue.last_dose_mg, under_tongue.home_mg) == (False, 200, 400)


def test_a_change_of_the_route_changes_how_it_is_supplied(session: Session, case: Case) -> None:
    row = make_draft(session, case)
    assert row.supplied == "shipped"
    prescriptions.change(session, case.prescriber, row.id, INFUSION)
    assert row.supplied == "clinic"


def test_how_it_is_supplied_is_signed_as_well(session: Session, case: Case) -> None:
    row = make_signed(session, case, **INFUSION)
    session.flush()
    session.execute(text("UPDATE prescriptions SET supplied = 'shipped' WHERE id = :id"), {"id": row.id})
    session.expire_all()
    assert not signing.verify_signature(session, row)


def test_the_default_programme_offers_what_goes_under_the_tongue(
    session: Session, moment: time_machine.Traveller
) -> None:
    with pytest.raises(RuleRefused) as refusal:
        make_draft(session, make_case(session), **INFUSION)
    assert [finding.rule for finding in refusal.value.findings] == ["prescribing.route_not_offered"]


def test_what_was_written_before_routes_reads_as_sublingual_and_its_signature_holds(
    session: Session, moment: time_machine.Traveller
) -> None:
    case = make_case(session)
    row = make_signed(session, case)
    as_it_was_then(session, row)
    assert Content.from_dict(box(session, row.patient_id).open(row, "content").reveal()).route is Route.SUBLINGUAL
    assert signing.verify_signature(session, row)
    make_fill(session, case, row)
    before = content().as_dict()
    before.pop("route")
    assert Content.from_dict(before) == content()


def as_it_was_then(session: Session, row: Prescription) -> None:
    """Write and sign a prescription once more as it was done before routes were told apart."""
    own, keys = box(session, row.patient_id), signing.keyring().prescription_keys
    old = own.open(row, "content").reveal()
    old.pop("route")
    document = signed_document(own, row).reveal()
    document["content"], document["format"] = old, BEFORE_ROUTES
    document.pop("supplied")
    document["paper"].pop("route")
    own.seal(row, "content", old)
    row.signature = signing.Ed25519PrivateKey.from_private_bytes(keys[keys.active]).sign(canonical(document))
    row.signed_content = own.seal_bytes(row, "signed_content", canonical(document))
    session.flush()
    session.expire_all()

"""What a patient may take away: everything about this patient, opened, and nothing about anybody else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Table, func, or_, select
from sqlalchemy.orm import Session

from services.core.actors import SYSTEM, Role
from services.core.database import Sessions, transaction
from services.core.errors import NotAllowed, NotFound
from services.core.ids import new_id
from services.core.programme import programme
from services.exports import LEFT_OUT, export_patient
from services.messaging.models import Task
from services.messaging.notices import page
from services.messaging.outbox import Subject
from services.messaging.states import TaskStep
from services.messaging.tasks import move_task
from services.people.accounts import change_on_call
from services.people.models import Account, Episode, Patient
from services.tables import metadata
from services.vault.boxes import box
from services.vault.models import Purpose
from services.vault.rotation import sealed_columns
from tests.factories import audited, make_patient, make_patient_actor
from tests.factories_everything import Everything, make_everything
from tests.factories_messaging import keep_text
from tests.own_services import service_with
from tests.servers import Servers


@pytest.fixture(scope="module")
def everything(servers: Servers, environment: Mapping[str, str], worker: str) -> Iterator[Everything]:
    """A clinic in full swing, in a database of this module."""
    with service_with(DATABASE_URL=servers.database(f"exported_{worker}")):
        with transaction() as session, make_everything(session) as made:
            pass
        yield made


@pytest.fixture
def session(everything: Everything) -> Iterator[Session]:
    """Work in that database which is undone afterwards."""
    with Sessions() as opened:
        yield opened


def exported(session: Session, patient_id: UUID) -> dict[str, Any]:
    records: dict[str, Any] = export_patient(session, SYSTEM, patient_id)["records"]
    return records


def tables_naming_a_patient() -> list[Table]:
    return [
        table
        for table in metadata.sorted_tables
        if table.name not in LEFT_OUT | {"audit_records"}  # which has notes in it, left out
        and {"patient_id", "episode_id"} & set(table.columns.keys())
        and "recipient_id" not in table.columns
        and not any(column.info["sealed_purpose"] is not Purpose.RECORD for column in sealed_columns(table))
    ]


def test_an_export_holds_every_record_of_every_table_that_names_the_patient(
    session: Session, everything: Everything
) -> None:
    patient_id = everything.episode.patient_id
    records = exported(session, patient_id)
    episode_ids = select(Episode.id).where(Episode.patient_id == patient_id)
    for table in tables_naming_a_patient():
        conditions = [table.c.patient_id == patient_id] if "patient_id" in table.columns else []
        conditions += [table.c.episode_id.in_(episode_ids)] if "episode_id" in table.columns else []
        there_are = session.scalar(select(func.count()).select_from(table).where(or_(*conditions)))
        assert len(records.get(table.name, ())) == there_are, table.name
    assert {"patients", "referrals", "prescriptions", "fills", "doses", "vitals", "outcome_reports"} <= set(records)


def test_every_sealed_value_is_opened(session: Session, everything: Everything) -> None:
    records = exported(session, everything.episode.patient_id)
    (patient,) = records["patients"]
    own = box(session, everything.episode.patient_id)
    row = session.get_one(Patient, everything.episode.patient_id)
    for column in ("full_name", "birth_date", "address", "mobile", "email"):
        assert patient[column] == own.open(row, column).reveal(), column
    assert records["fills"][0]["quantity"] == 4
    assert records["consents"][0]["wording"]
    json.dumps(records)  # nothing in it that is no JSON


def test_times_and_ids_are_readable_and_bytes_are_left_out(session: Session, everything: Everything) -> None:
    (referral, *_) = exported(session, everything.episode.patient_id)["prescriptions"]
    assert datetime.fromisoformat(referral["drafted_at"]).tzinfo is not None
    assert date.fromisoformat(referral["issued_on"])
    assert UUID(referral["episode_id"]) == everything.episode.id
    assert "signature" not in referral


def test_nobody_elses_data_is_in_an_export(session: Session, everything: Everything) -> None:
    newcomer = everything.ids["patient_id"][1]
    document = json.dumps(exported(session, newcomer))
    assert str(everything.episode.patient_id) not in document
    for account in everything.role_accounts.values():
        for column in ("email", "phone"):
            assert box(session, account.id).open(account, column).reveal() not in document


def test_what_staff_were_told_about_the_patient_goes_to_their_numbers_and_stays_out(
    session: Session, everything: Everything
) -> None:
    prescriber = session.get_one(Account, everything.world.prescriber.id)
    change_on_call(session, everything.world.actor("operator"), prescriber.id, True)
    subject = Subject("episode", everything.episode.id)
    page(session, everything.world.medical_team.id, subject, new_id(), programme())
    session.flush()
    document = json.dumps(exported(session, everything.episode.patient_id))
    assert box(session, prescriber.id).open(prescriber, "phone").reveal() not in document


def test_the_reason_of_a_task_that_was_forwarded_is_in_it(session: Session, everything: Everything) -> None:
    task = session.get_one(Task, everything.ids["task_id"][1])
    by, to = everything.world.actor("medical_staff"), everything.world.prescriber.id
    move_task(session, by, task.id, TaskStep.FORWARD, reason="She asked for Paula.", to=to)
    (shown,) = [each for each in exported(session, everything.episode.patient_id)["tasks"] if each["reason"]]
    assert (shown["id"], shown["reason"]) == (str(task.id), "She asked for Paula.")


def test_psychotherapy_notes_are_never_in_it_nor_that_there_are_any(session: Session, everything: Everything) -> None:
    session.commit()
    records = exported(session, everything.episode.patient_id)
    assert records["audit_records"]
    document = json.dumps(records)
    assert "psychotherapy_note" not in document
    assert "Dreamt of water" not in document
    assert str(everything.ids["note_id"][0]) not in document


def test_texts_from_the_patients_number_are_in_it(session: Session, everything: Everything) -> None:
    keep_text(session, "from a stranger", "+14155550199")
    texts = exported(session, everything.episode.patient_id)["texts_received"]
    assert [each["text"] for each in texts] == ["my dog ate it"]


def test_texts_from_a_number_that_several_share_are_in_nobodys_export(session: Session, everything: Everything) -> None:
    family = [make_patient(session, mobile="+14155550188") for _ in range(2)]
    keep_text(session, "it came", "+14155550188")
    for patient in family:
        assert "texts_received" not in exported(session, patient.id)


def test_the_patient_and_the_desk_may_have_it_and_it_is_audited(session: Session, everything: Everything) -> None:
    patient = make_patient_actor(everything.episode)
    actors = (patient, everything.world.actor("operator"), SYSTEM)
    for actor in actors:
        assert export_patient(session, actor, everything.episode.patient_id)["records"]
    assert audited(session).count("patient.export") == len(actors)


@pytest.mark.parametrize("role", [Role.THERAPIST, Role.PRESCRIBER, Role.MEDICAL_STAFF, Role.PHARMACIST])
def test_nobody_else_may(session: Session, everything: Everything, role: Role) -> None:
    actor = everything.world.actor(role.value)
    with pytest.raises(NotAllowed):
        export_patient(session, actor, everything.episode.patient_id)


def test_another_patient_and_one_that_does_not_exist_are_not_found(session: Session, everything: Everything) -> None:
    patient = make_patient_actor(everything.episode)
    with pytest.raises(NotFound):
        export_patient(session, patient, everything.ids["patient_id"][1])
    with pytest.raises(NotFound):
        export_patient(session, SYSTEM, new_id())

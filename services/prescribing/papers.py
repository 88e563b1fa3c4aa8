"""What a prescription must carry (21 CFR 1306.05), and the canonical document that is digitally signed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy.orm import Session

from services.core.errors import NotFound
from services.core.personal import Personal
from services.people.accounts import person_of
from services.people.models import Organisation
from services.people.practitioners import dea_number_of
from services.prescribing.cases import Case
from services.prescribing.contents import Content
from services.prescribing.models import Prescription
from services.prescribing.routes import Supplied
from services.vault.boxes import Box

FORMAT: Final = "prescription/2"
BEFORE_ROUTES: Final = "prescription/1"


def paper_of(session: Session, prescription: Prescription, content: Content, case: Case, on: date) -> dict[str, Any]:
    """The fields of ``law.REQUIRED_FIELDS`` by name, as of a day; personal. An absent DEA number stays ``None``."""
    team = session.get_one(Organisation, case.episode.medical_team_id)
    return {
        "issued_on": on.isoformat(),
        "patient_name": case.box.open(case.patient, "full_name").reveal(),
        "patient_address": _one_line(case.address.reveal().as_dict()),
        "drug": content.drug,
        "strength": f"{content.strength_mg} mg",
        "form": content.form,
        "route": content.route.value,
        "quantity": content.quantity_units,
        "directions": content.directions,
        "refills": content.refills,
        "practitioner_name": person_of(session, prescription.prescriber_id).full_name.reveal(),
        "practitioner_address": _one_line(
            {
                "street": f"{team.name}, {team.street}",
                "city": team.city,
                "state": team.state,
                "postal_code": team.postal_code,
            }
        ),
        "dea_number": _dea_number(session, prescription, case.state, on),
    }


def document_of(
    prescription: Prescription, content: Content, paper: Mapping[str, Any], outside: Mapping[str, Any] | None
) -> dict[str, Any]:
    """All that a signature binds: who, for whom, what, when. Two documents are equal when the prescriptions are.

    ``outside`` tells of a signature in another system; what is signed here has none.
    """
    return {
        **({} if outside is None else {"outside": dict(outside)}),
        "format": FORMAT,
        "id": str(prescription.id),
        "patient_id": str(prescription.patient_id),
        "episode_id": str(prescription.episode_id),
        "prescriber_id": str(prescription.prescriber_id),
        "agreed_by": None if prescription.agreed_by is None else str(prescription.agreed_by),
        "replaces_id": None if prescription.replaces_id is None else str(prescription.replaces_id),
        "supplied": prescription.supplied,
        "signed_at": None if prescription.signed_at is None else _micros(prescription.signed_at),
        "issued_on": None if prescription.issued_on is None else prescription.issued_on.isoformat(),
        "expires_on": None if prescription.expires_on is None else prescription.expires_on.isoformat(),
        "paper": dict(paper),
        "content": content.as_dict(),
    }


def as_written_now(document: Mapping[str, Any]) -> dict[str, Any]:
    """A signed document with what its format did not tell yet: of before routes, all were sublingual and shipped."""
    if document["format"] != BEFORE_ROUTES:
        return dict(document)
    content = Content.from_dict(document["content"]).as_dict()
    return {**document, "format": FORMAT, "supplied": Supplied.SHIPPED.value, "content": content}


def canonical(document: Mapping[str, Any]) -> bytes:
    """The one byte form of a document: JSON with sorted names, no blanks, UTF-8."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def signed_document(own: Box, prescription: Prescription) -> Personal[dict[str, Any]]:
    """The archived document of a signed prescription. Raises ``UnreadableSeal`` when it was altered."""
    document: Personal[dict[str, Any]] = own.open(prescription, "signed_content")
    return document


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)  # what PostgreSQL keeps


def _dea_number(session: Session, prescription: Prescription, state: str, on: date) -> str | None:
    try:
        return dea_number_of(session, prescription.prescriber_id, state, on).reveal()
    except NotFound:
        return None


def _one_line(address: Mapping[str, str]) -> str:
    street = " ".join(part for part in (address["street"], address.get("unit", "")) if part)
    return f"{street}, {address['city']}, {address['state']} {address['postal_code']}"

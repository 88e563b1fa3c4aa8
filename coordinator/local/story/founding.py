"""``python -m coordinator.local.story.founding``: what has to exist before anybody can sign in.

No API makes the first organisations and the first account of the operations desk; the command line does, with these
very use cases. Reads what to found as JSON from standard input and writes ids and the authenticator's address to
standard output: neither stands in the arguments of a process.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from services.core.actors import SYSTEM, Role
from services.core.database import transaction
from services.core.personal import Personal, Secret
from services.people import accounts, organisations
from services.people.models import OrganisationKind


def found(plan: dict[str, Any]) -> dict[str, Any]:
    """Create ``plan["organisations"]`` (by name; the practice works with the other two) and ``plan["operator"]``."""
    given = plan["organisations"]
    operator = plan["operator"]
    with transaction() as session:

        def create(kind: OrganisationKind, **partners: Any) -> Any:
            details = organisations.OrganisationDetails(kind=kind, **given[kind.value], **partners)
            return organisations.create_organisation(session, SYSTEM, details).id

        ids = {
            kind.value: create(kind)
            for kind in (OrganisationKind.OPERATIONS, OrganisationKind.MEDICAL_TEAM, OrganisationKind.PHARMACY)
        }
        partners = {
            "partner_medical_team_id": ids[OrganisationKind.MEDICAL_TEAM.value],
            "partner_pharmacy_id": ids[OrganisationKind.PHARMACY.value],
        }
        ids[OrganisationKind.PRACTICE.value] = create(OrganisationKind.PRACTICE, **partners)
        details = accounts.AccountDetails(
            role=Role.OPERATIONS,
            organisation_id=ids[OrganisationKind.OPERATIONS.value],
            email=Personal(operator["email"]),
            full_name=Personal(operator["full_name"]),
            phone=Personal(operator["phone"]),
            on_call=True,
        )
        created = accounts.create_account(session, SYSTEM, details, Secret(operator["password"]))
        return {
            "organisations": {kind: str(id_) for kind, id_ in ids.items()},
            "operator": {"id": str(created.account.id), "enrolment": created.enrolment.reveal()},
        }


if __name__ == "__main__":
    json.dump(found(json.load(sys.stdin)), sys.stdout)

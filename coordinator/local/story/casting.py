"""Before the story: organisations, accounts with second factors, papers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from coordinator.local.migrations import ROOT
from coordinator.local.story.cast import ORGANISATIONS, PASSWORD, Cast, Person
from coordinator.local.story.scripts import STATE
from coordinator.local.story.stage import Stage
from services.core.errors import Unavailable

PAPERS_VALID: Final = timedelta(days=3 * 365)
WORKPLACES: Final = {
    "therapist": "practice",
    "prescriber": "medical_team",
    "medical_staff": "medical_team",
    "pharmacist": "pharmacy",
}


def assemble(stage: Stage, environment: Mapping[str, str]) -> None:
    """Organisations and accounts. After the first account everything goes through the API."""
    cast, desk = stage.cast, stage.cast.operator
    _found(cast, environment)
    for person in cast.staff:
        if person is not desk:
            _open_account(stage, person)
    _record_papers(stage)
    stage.narrator.fact(
        f"{desk.full_name} has opened {len(cast.staff) - 1} accounts with second factors and put papers on record."
    )


def _open_account(stage: Stage, person: Person) -> None:
    body = {
        "role": person.role,
        "organisation_id": stage.cast.organisations[WORKPLACES[person.role]],
        "email": person.email,
        "full_name": person.full_name,
        "phone": person.mobile,
        "on_call": person.on_call,
        "password": PASSWORD,
    }
    created = stage.quietly(stage.cast.operator, "POST", "/accounts", body)
    person.id = created["id"]
    person.enrol(created["enrolment"])


def _record_papers(stage: Stage) -> None:
    cast, desk = stage.cast, stage.cast.operator
    stage.quietly(desk, "POST", f"/accounts/{cast.therapist.id}/kap-training", {"trained_on": "2024-05-17"})
    for person, npi, number, state in (
        (cast.prescriber, "1234567893", "FP1234563", STATE),
        (cast.colleague, "1993999998", "MO1111119", "NM"),
    ):
        stage.quietly(desk, "POST", f"/accounts/{person.id}/npi", {"npi": npi})
        add_state_papers(stage, person, state, number)


def add_state_papers(stage: Stage, person: Person, state: str, dea_number: str) -> None:
    """A licence and a DEA registration of a prescriber in one state."""
    desk, account = stage.cast.operator, f"/accounts/{person.id}"
    expires_on = (stage.clock.now().date() + PAPERS_VALID).isoformat()
    licence = {"state": state, "number": f"{state}-{person.mobile[-4:]}", "expires_on": expires_on}
    registration = {"state": state, "number": dea_number, "expires_on": expires_on}
    stage.quietly(desk, "POST", f"{account}/licences", licence)
    stage.quietly(desk, "POST", f"{account}/dea-registrations", registration)


def _found(cast: Cast, environment: Mapping[str, str]) -> None:
    """Create the organisations and the operator's account, in a process of their own; raises ``Unavailable``."""
    operator = cast.operator
    plan = {
        "organisations": ORGANISATIONS,
        "operator": {
            "email": operator.email,
            "full_name": operator.full_name,
            "phone": operator.mobile,
            "password": PASSWORD,
        },
    }
    done = subprocess.run(
        [sys.executable, "-m", "coordinator.local.story.founding"],
        cwd=ROOT,
        env=dict(environment),
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        failure = Unavailable("The organisations of the story could not be created; is the database a fresh one?")
        failure.add_note(done.stderr)
        raise failure
    made = json.loads(done.stdout)
    cast.organisations = made["organisations"]
    operator.id = made["operator"]["id"]
    operator.enrol(made["operator"]["enrolment"])

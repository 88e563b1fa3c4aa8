"""Before the story: organisations, accounts with second factors, papers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from coordinator.local.migrations import ROOT
from coordinator.local.story.cast import ORGANISATIONS, PASSWORD, Cast, Person
from coordinator.local.story.scripts import STATE
from services.core import clock
from services.core.errors import Unavailable

PAPERS_VALID: Final = timedelta(days=3 * 365)
OTHER_STATE: Final = "NM"
WORKPLACES: Final = {
    "therapist": "practice",
    "prescriber": "medical_team",
    "medical_staff": "medical_team",
    "pharmacist": "pharmacy",
    "operations": "operations",
}


def found(
    cast: Cast, environment: Mapping[str, str], organisations: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Create organisations and accounts in a process of their own, as the command line would.

    The operations desk is created unless ``cast`` has one. Raises ``Unavailable`` when the accounts exist already.
    """
    founded = [person for person in cast.staff if not person.id]
    plan = {
        "organisations": organisations or ORGANISATIONS,
        "existing": cast.organisations,
        "desk": cast.operator.id,
        "people": [_plan_of(cast, person) for person in founded],
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
    for person, account in zip(founded, made["people"], strict=True):
        person.id = account["id"]
        person.enrol(account["enrolment"])


def _plan_of(cast: Cast, person: Person) -> dict[str, Any]:
    papers: dict[str, Any] = {}
    if person in (cast.therapist, cast.second):
        papers = {"kap_trained_on": "2024-05-17"}
    elif person is cast.prescriber:
        papers = {"npi": "1234567893", **state_papers(person, STATE, "FP1234563")}
    elif person is cast.colleague:
        papers = {"npi": "1993999998", **state_papers(person, OTHER_STATE, "MO1111119")}
    return {
        "role": person.role,
        "workplace": WORKPLACES[person.role],
        "email": person.email,
        "full_name": person.full_name,
        "phone": person.mobile,
        "on_call": person.on_call,
        "password": PASSWORD,
        "papers": papers,
    }


def state_papers(person: Person, state: str, dea_number: str) -> dict[str, str]:
    """A licence and a DEA registration of a prescriber in one state, valid for years."""
    expires_on = clock.now().date() + PAPERS_VALID
    return {
        "state": state,
        "licence": f"{state}-{person.mobile[-4:]}",
        "dea_number": dea_number,
        "expires_on": expires_on.isoformat(),
    }

"""Rules on who opens an episode, consents to a treatment and adopts the programme that it runs under (DOMAIN 1)."""

from __future__ import annotations

from typing import Final

from services.core.findings import Severity
from services.core.rules import declare

BY_ORGANISATION: Final = declare(
    "people.referral_by_organisation",
    Severity.STOP,
    "DOMAIN 1",
    "Only somebody of an organisation opens an episode.",
    fixed="a treatment belongs to a practice or a team",
)
TEAM_HAS_PHARMACY: Final = declare(
    "people.team_has_pharmacy",
    Severity.STOP,
    "DOMAIN 1",
    "The medical team has no partner pharmacy yet.",
    fixed="without one nobody could dispense what is prescribed",
)
KAP_TRAINING: Final = declare(
    "people.kap_training_on_record",
    Severity.STOP,
    "DOMAIN 1",
    "The therapist has no KAP training on record.",
    fixed="a therapist must hold the training",
)
PRACTICE_HAS_PARTNERS: Final = declare(
    "people.practice_has_partners",
    Severity.STOP,
    "DOMAIN 1",
    "The practice has no partner medical team or pharmacy yet.",
    fixed="without them there is nobody to refer to",
)
CONSENT_BY_PATIENT: Final = declare(
    "people.treatment_consent_by_patient",
    Severity.STOP,
    "DOMAIN 3.1",
    "Only the patient gives this consent.",
    fixed="nobody consents for a patient",
)
PROGRAMME_ADOPTED: Final = declare(
    "people.programme_adopted",
    Severity.STOP,
    "DOMAIN 1",
    "This very version was adopted before.",
    fixed="a version comes into force once",
)

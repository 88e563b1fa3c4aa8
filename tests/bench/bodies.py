"""What the measured requests say."""

from __future__ import annotations

from itertools import count
from typing import Any
from uuid import UUID

_numbers = count()


def referral_body() -> dict[str, Any]:
    """A client who is not texted, so that no SMS is part of the measurement."""
    number = next(_numbers)
    return {
        "patient": {
            "full_name": f"Bench Client {number}",
            "birth_date": "1985-03-14",
            "address": {
                "street": f"{number} Elm Street",
                "city": "Oakland",
                "state": "CA",
                "postal_code": "94607",
            },
            "mobile": f"+1415{2000000 + number}",
            "email": None,
        },
        "diagnosis": "depression",
        "reason": "Two antidepressants did not help.",
        "sms_agreement": None,
    }


def draft_body(episode_id: UUID | str) -> dict[str, Any]:
    """A first prescription: two sessions' supply."""
    return {
        "episode_id": str(episode_id),
        "drug": "ketamine",
        "strength_mg": 100,
        "form": "lozenge",
        "quantity_units": 4,
        "sessions_supply": 2,
        "dose_mg": 200,
        "first_session_dose_mg": 100,
        "directions": "Dissolve half under the tongue for 10 to 12 minutes, then spit; repeat with the second half.",
    }

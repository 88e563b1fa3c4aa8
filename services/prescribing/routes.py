"""By which route a medicine is taken, and whether it reaches the patient by parcel or is given in the clinic.

A programme offers routes (``prescribing.routes``) and says of each how it is supplied
(``prescribing.route.<route>.supplied``). What the clinic gives is an *order* for immediate administration: nobody fills
or ships it, and nothing of it is ever at home.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from services.core.errors import InvalidConfiguration
from services.core.programme import Programme

if TYPE_CHECKING:
    from services.prescribing.models import Prescription


class Route(StrEnum):
    """How the medicine enters the body."""

    SUBLINGUAL = "sublingual"
    NASAL = "nasal"
    INTRAMUSCULAR = "intramuscular"
    INTRAVENOUS = "intravenous"


class Supplied(StrEnum):
    """How the patient comes by it: a pharmacy ships it, or the clinic gives it there and then."""

    SHIPPED = "shipped"
    CLINIC = "clinic"


def supplied_by(route: Route, programme: Programme) -> Supplied:
    """How a programme supplies a route. Raises ``InvalidConfiguration`` for a word that is none of ``Supplied``."""
    setting = f"prescribing.route.{route}.supplied"
    try:
        return Supplied(programme.text(setting))
    except ValueError:
        words = " or ".join(Supplied)
        raise InvalidConfiguration(f"The setting '{setting}' of '{programme.name}' must be {words}.") from None


def setting_of(route: Route, name: str, programme: Programme) -> str:
    """The setting that limits a route: its own ``prescribing.route.<route>.<name>``, or ``prescribing.<name>``.

    A limit in milligrams that fits under the tongue would be a multiple in a vein.
    """
    own = f"prescribing.route.{route}.{name}"
    return own if own in programme.settings else f"prescribing.{name}"


def is_shipped(prescription: Prescription) -> bool:
    """Whether a pharmacy fills and ships it; False for an order that the clinic gives as soon as it is signed."""
    return prescription.supplied == Supplied.SHIPPED

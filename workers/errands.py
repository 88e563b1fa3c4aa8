"""Errands: a party's calls to outside services, always from a stored row and with no transaction open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from services.core.programme import Programme
from services.core.vocabulary import Party
from services.messaging import notices
from services.shipping import tracking

ERRANDS: Final[Mapping[Party, Sequence[Callable[[Programme], None]]]] = {
    Party.PATIENT: (notices.send_due, notices.reconcile_unknown),
    Party.PHARMACY: (tracking.register_due,),
}

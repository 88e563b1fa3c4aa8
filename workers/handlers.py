"""What a party's worker does with a bag: open each envelope, carry out its effects, acknowledge: one transaction.

The common case is one transaction for the whole bag. When anything in it fails, each envelope gets a transaction of
its own, so that one bad envelope never harms its bag: the good ones are done, the bad one is put back or buried.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import structlog
from sqlalchemy.orm import Session

from services.core.config import config
from services.core.database import transaction
from services.core.errors import UnreadableSeal
from services.core.programme import Programme, programme
from services.core.vocabulary import EventKind, Party
from services.messaging.outbox import acknowledge, bury_envelope, bury_unreadable, known, put_back
from services.vault.envelopes import open_envelope
from workers.effects import OpenedEvent, carry_out
from workers.errands import ERRANDS
from workers.outages import is_outage
from workers.queues import Envelope, spoilt, unpacked

log = structlog.get_logger()


def handle_bag(party_name: str, packed: Sequence[Any]) -> None:
    """Handle one bag. The RQ job; it never fails, neither because of what is in the bag nor because a server is away.

    A job that fails would leave its exception's text in Redis and in the log, and that text may hold values.
    """
    party = Party(party_name)
    settings = programme(config().programme_file)
    bag = list(_read(packed))
    try:
        _handle_together(party, bag, settings)
    except Exception as error:  # noqa: BLE001 - what was not acknowledged is still in the outbox: it comes again
        log.warning("bag_postponed", party=party_name, count=len(bag), error=type(error).__name__)
        return
    run_errands(party_name)


def run_errands(party_name: str) -> None:
    """Make the party's calls to outside services that are due. Runs after each bag and when the ticker asks."""
    for errand in ERRANDS.get(Party(party_name), ()):
        try:
            errand(programme(config().programme_file))
        except Exception as error:  # noqa: BLE001 - each goes by stored rows, so the next time takes up where it ended
            log.warning("errand_failed", party=party_name, errand=errand.__name__, error=type(error).__name__)


def _read(packed: Sequence[Any]) -> Iterator[Envelope]:
    """The envelopes of a bag. What is none is given on as one that does not open, so that it is buried, not lost."""
    for fields in packed:
        try:
            yield unpacked(fields)
        except ValueError:
            yield spoilt(fields)


def _handle_together(party: Party, bag: Sequence[Envelope], settings: Programme) -> None:
    """Handle a bag in one transaction or, when anything in it fails, envelope by envelope.

    Raises what PostgreSQL raises when it is away.
    """
    try:
        _handle(party, bag, settings)
    except Exception as error:
        if is_outage(error):
            raise
        log.info("bag_split", party=party.value, count=len(bag), error=type(error).__name__)
        for envelope in bag:
            _handle_alone(party, envelope, settings)


def _handle(party: Party, bag: Sequence[Envelope], settings: Programme) -> None:
    with transaction() as session:
        fresh = acknowledge(session, party, [envelope.id for envelope in bag])
        count, opened, rest = len(fresh), [], []
        for envelope in bag:
            # Taken out: of two equal envelopes in one bag, the second is a repeat.
            digest = fresh.pop(envelope.id, None)
            if digest is None:
                rest.append(envelope)
            else:
                opened.append(_opened(party, envelope, digest))
        carry_out(session, opened, settings)
        odd = _bury_odd(session, party, rest) if rest else 0
    log.info("bag_handled", party=party.value, count=len(bag), repeated=len(bag) - count - odd, odd=odd)


def _handle_alone(party: Party, envelope: Envelope, settings: Programme) -> None:
    try:
        _handle(party, [envelope], settings)
    except _DoesNotOpen:
        log.warning("envelope_unreadable", event_id=str(envelope.id), party=party.value)
        with transaction() as session:
            bury_unreadable(
                session, envelope.id, party, envelope.kind, envelope.key_name, envelope.sealed, programme=settings
            )
    except Exception as error:
        if is_outage(error):
            raise
        log.warning("event_failed", event_id=str(envelope.id), kind=envelope.kind, error=type(error).__name__)
        with transaction() as session:
            put_back(session, envelope.id, type(error).__name__, settings)


class _DoesNotOpen(Exception):
    """The envelope itself cannot be read. A sealed value that an effect cannot open is a failure like any other."""


def _opened(party: Party, envelope: Envelope, stored_digest: bytes) -> OpenedEvent:
    """Open an envelope that is, byte for byte, the one in the outbox: sealing alone does not prove who sealed it."""
    if hashlib.sha256(envelope.sealed).digest() != stored_digest:
        raise _DoesNotOpen
    try:
        payload = open_envelope(party, envelope.kind, envelope.id, envelope.key_name, envelope.sealed)
    except UnreadableSeal:
        raise _DoesNotOpen from None
    return OpenedEvent.from_payload(envelope.id, party, EventKind(envelope.kind), payload)


def _bury_odd(session: Session, party: Party, rest: Sequence[Envelope]) -> int:
    """Of envelopes that are no fresh events, bury those that are not repeats either; gives how many."""
    stored = known(session, party, [envelope.id for envelope in rest])
    odd = 0
    for envelope in rest:
        digest = stored.get(envelope.id)
        if digest == hashlib.sha256(envelope.sealed).digest():
            continue
        reason = "no_such_event" if digest is None else "altered_on_the_way"
        log.warning("envelope_odd", event_id=str(envelope.id), party=party.value, reason=reason)
        bury_envelope(session, envelope.id, party, envelope.kind, envelope.key_name, envelope.sealed, reason)
        odd += 1
    return odd

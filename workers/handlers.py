"""What a party's worker does with a bag: open each envelope, carry out its effects, acknowledge: one transaction.

The common case is one transaction for the whole bag. When anything in it fails, each envelope gets a transaction of
its own, so that one bad envelope never harms its bag: the good ones are done, the bad one is put back or buried.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import structlog
from sqlalchemy.exc import DBAPIError
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
from workers.queues import Envelope, unpacked

log = structlog.get_logger()


def handle_bag(party_name: str, packed: Sequence[Sequence[str]]) -> None:
    """Handle one bag. The RQ job; it never fails because of what is in the bag."""
    party = Party(party_name)
    bag = [unpacked(fields) for fields in packed]
    settings = programme(config().programme_file)
    try:
        _handle(party, bag, settings)
    except DBAPIError as error:
        if error.connection_invalidated:
            # PostgreSQL is away. Nothing was acknowledged, so the relay brings all of it again.
            log.warning("bag_postponed", party=party_name, count=len(bag), error=type(error).__name__)
            return
        _handle_one_by_one(party, bag, settings)
    except Exception as error:  # noqa: BLE001 - whatever one envelope raised must not cost the others
        log.info("bag_split", party=party_name, count=len(bag), error=type(error).__name__)
        _handle_one_by_one(party, bag, settings)
    run_errands(party_name)


def run_errands(party_name: str) -> None:
    """Make the party's calls to outside services that are due. Runs after each bag and when the ticker asks."""
    for errand in ERRANDS.get(Party(party_name), ()):
        errand(programme(config().programme_file))


def _handle(party: Party, bag: Sequence[Envelope], settings: Programme) -> None:
    with transaction() as session:
        fresh = acknowledge(session, party, [envelope.id for envelope in bag])
        opened = [_opened(party, envelope, fresh[envelope.id]) for envelope in bag if envelope.id in fresh]
        carry_out(session, opened, settings)
        strangers = {envelope.id for envelope in bag} - fresh.keys()
        if strangers:
            strangers -= known(session, party, strangers)
            _bury_strangers(session, party, [envelope for envelope in bag if envelope.id in strangers])
    log.info("bag_handled", party=party.value, count=len(bag), repeated=len(bag) - len(fresh), unknown=len(strangers))


def _handle_one_by_one(party: Party, bag: Sequence[Envelope], settings: Programme) -> None:
    for envelope in bag:
        try:
            _handle(party, [envelope], settings)
        except UnreadableSeal:
            log.warning("envelope_unreadable", event_id=str(envelope.id), party=party.value)
            with transaction() as session:
                bury_unreadable(session, envelope.id, party, envelope.kind, envelope.key_name, envelope.sealed)
        except Exception as error:  # noqa: BLE001 - recorded in PostgreSQL by name, retried, and finally buried
            log.warning("event_failed", event_id=str(envelope.id), kind=envelope.kind, error=type(error).__name__)
            with transaction() as session:
                put_back(session, envelope.id, type(error).__name__, settings)


def _opened(party: Party, envelope: Envelope, stored_digest: bytes) -> OpenedEvent:
    """Open an envelope that is, byte for byte, the one in the outbox: sealing alone does not prove who sealed it."""
    if hashlib.sha256(envelope.sealed).digest() != stored_digest:
        raise UnreadableSeal("The envelope differs from the one in the outbox.")
    payload = open_envelope(party, envelope.kind, envelope.id, envelope.key_name, envelope.sealed)
    return OpenedEvent.from_payload(envelope.id, party, EventKind(envelope.kind), payload)


def _bury_strangers(session: Session, party: Party, strangers: Sequence[Envelope]) -> None:
    for envelope in strangers:
        log.warning("envelope_unknown", event_id=str(envelope.id), party=party.value)
        bury_envelope(session, envelope.id, party, envelope.kind, envelope.key_name, envelope.sealed, "no_such_event")

"""Twilio failing in every way it can: each text is sent once, or what became of it is in front of a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import pytest
from sqlalchemy import select

from coordinator.local import processes
from services.audit.models import AuditRecord
from services.core.database import transaction
from services.core.ids import new_id
from services.core.vocabulary import EventKind, Party, TaskKind
from services.messaging.models import Notice, Task
from services.messaging.notice_states import NoticeState
from services.messaging.outbox import Subject, emit
from tests.factories import make_episode, make_number
from tests.faults.counts import Count
from tests.faults.stacks import PATIENCE_SECONDS, Service

EACH = 2
# What a provider does to a send, and whether it may have taken the text without our knowing.
FAILURES = ("429", "500", "503", "reset", "hang")
TAKEN_ALL_THE_SAME = ("accept_then_500", "accept_then_reset", "accept_then_hang", "accept_then_vanish")
SPOILT_CALLBACKS = ("repeat_callbacks", "reverse_callbacks", "parallel_callbacks")


@dataclass(frozen=True)
class Text:
    """One text to one patient, who gets no other."""

    event_id: UUID
    number: str


def text_patients(service: Service, number: int) -> list[Text]:
    """Let so many patients be texted at once."""
    texts = []
    with transaction() as session:
        for _ in range(number):
            mobile = make_number()
            episode = make_episode(session, world=service.world, mobile=mobile)
            (event_id,) = emit(
                session,
                EventKind.SHIPMENT_IN_TRANSIT,
                subject=Subject("thing", new_id()),
                episode_id=episode.id,
                to=[Party.PATIENT],
            )
            texts.append(Text(event_id, mobile))
    return texts


def fates(texts: Sequence[Text]) -> Counter[str]:
    """How many of the texts are in which state."""
    wanted = select(Notice.state).where(Notice.event_id.in_([text.event_id for text in texts]))
    with transaction() as session:
        return Counter(session.scalars(wanted))


def in_front_of_a_person(texts: Sequence[Text]) -> set[UUID]:
    """The texts (by event) that somebody has an open task about."""
    query = (
        select(Notice.event_id)
        .join(Task, Task.subject_id == Notice.id)
        .where(
            Notice.event_id.in_([text.event_id for text in texts]),
            Notice.state == NoticeState.UNRESOLVED,
            Task.kind == TaskKind.RECONCILE_NOTICE,
            Task.state == "requested",
        )
    )
    with transaction() as session:
        return {event_id for event_id in session.scalars(query) if event_id is not None}


def sent_to(service: Service) -> Counter[str]:
    """How many texts the provider sent to each number."""
    messages = service.sandbox("GET", "/messages")["messages"]
    return Counter(message["to"] for message in messages if message["direction"] != "inbound")


def settled(texts: Sequence[Text], *states: NoticeState) -> bool:
    found = fates(texts)
    return sum(found[state] for state in states) == len(texts)


@pytest.mark.parametrize("kinds", [FAILURES, TAKEN_ALL_THE_SAME], ids=["takes nothing", "takes it all the same"])
def test_a_provider_that_fails(service: Service, counted: Callable[[Count], None], kinds: tuple[str, ...]) -> None:
    for kind in kinds:
        service.sandbox("POST", "/faults", {"kind": kind, "count": EACH})
    texts = text_patients(service, EACH * len(kinds))
    ends = (NoticeState.SENT, NoticeState.DELIVERED, NoticeState.UNRESOLVED)
    assert processes.wait_until(lambda: settled(texts, *ends), PATIENCE_SECONDS), fates(texts)
    service.wait_until_idle()
    assert not any(service.sandbox("GET", "/faults")["waiting"].values())
    sent, asked = sent_to(service), in_front_of_a_person(texts)
    # A text that the provider never took and nobody may send again counts once it is in front of a person.
    effects = [sent[text.number] or int(text.event_id in asked) for text in texts]
    assert len(asked) == fates(texts)[NoticeState.UNRESOLVED]
    if kinds is TAKEN_ALL_THE_SAME:
        assert asked == set()
    counted(Count.of(f"Twilio: {', '.join(kinds)}", effects, f"{len(asked)} in front of a person"))


def notices_of(texts: Sequence[Text]) -> list[UUID]:
    """The notices of the texts, as far as there are any yet."""
    wanted = select(Notice.id).where(Notice.event_id.in_([text.event_id for text in texts]))
    with transaction() as session:
        return list(session.scalars(wanted))


def callbacks_about(service: Service, notices: Sequence[UUID]) -> list[int | None]:
    """The answers to the callbacks about some notices; None while there is none."""
    names = {str(notice_id) for notice_id in notices}
    posted = service.sandbox("GET", "/callbacks")["callbacks"]
    return [each["status"] for each in posted if each["path"].rpartition("/")[2] in names]


def test_callbacks_that_are_repeated_out_of_order_and_in_parallel(
    service: Service, counted: Callable[[Count], None]
) -> None:
    for kind in SPOILT_CALLBACKS:
        service.sandbox("POST", "/faults", {"kind": kind, "count": EACH})
    texts = text_patients(service, EACH * len(SPOILT_CALLBACKS))
    posts = EACH * (6 + 2 + 4)
    assert processes.wait_until(lambda: settled(texts, NoticeState.DELIVERED), PATIENCE_SECONDS), fates(texts)
    notices = notices_of(texts)
    assert processes.wait_until(
        lambda: sum(status is not None for status in callbacks_about(service, notices)) == posts, PATIENCE_SECONDS
    ), callbacks_about(service, notices)
    service.wait_until_idle()
    assert callbacks_about(service, notices) == [204] * posts
    with transaction() as session:
        delivered = select(AuditRecord.subject_id).where(
            AuditRecord.action == "notice.deliver", AuditRecord.subject_id.in_(notices)
        )
        times = Counter(session.scalars(delivered))
    sent = sent_to(service)
    assert [sent[text.number] for text in texts] == [1] * len(texts)
    assert settled(texts, NoticeState.DELIVERED)
    effects = [times[notice_id] for notice_id in notices]
    counted(Count.of("callbacks repeated, out of order, in parallel", effects, f"{posts} callbacks"))


def test_texts_are_sent_once_though_the_worker_is_killed_while_it_sends(
    service: Service, counted: Callable[[Count], None]
) -> None:
    """It waits for an answer that never comes, to a text that is on its way already."""
    service.sandbox("POST", "/faults", {"kind": "accept_then_hang", "count": EACH})
    texts = text_patients(service, 6)

    def killed_while_it_sends() -> bool:
        with service.halted("worker-patient"):
            sending = {text.number for text in texts_in(texts, NoticeState.SENDING)}
            if not sending & set(sent_to(service)):
                return False
            service.kill("worker-patient")
            return True

    assert processes.wait_until(killed_while_it_sends, PATIENCE_SECONDS), fates(texts)
    ends = (NoticeState.SENT, NoticeState.DELIVERED)
    assert processes.wait_until(lambda: settled(texts, *ends), PATIENCE_SECONDS), fates(texts)
    service.wait_until_idle()
    service.sandbox("DELETE", "/faults")
    sent = sent_to(service)
    counted(Count.of("worker killed while it sends a text", [sent[text.number] for text in texts], "1 kill"))


def texts_in(texts: Sequence[Text], state: NoticeState) -> list[Text]:
    """Those of the texts whose notice is in a state."""
    wanted = select(Notice.event_id).where(
        Notice.event_id.in_([text.event_id for text in texts]), Notice.state == state
    )
    with transaction() as session:
        found = set(session.scalars(wanted))
    return [text for text in texts if text.event_id in found]

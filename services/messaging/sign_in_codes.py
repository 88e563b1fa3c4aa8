"""One-time codes by SMS: the ask. What the code is and how it is spent stands in ``services/people/links.py``."""

from __future__ import annotations

from sqlalchemy.orm import Session

from services.core.personal import Personal
from services.core.vocabulary import EventKind
from services.messaging.outbox import Subject, emit
from services.people.links import create_sign_in_codes


def ask_sign_in_code(session: Session, mobile: Personal[str]) -> None:
    """Let a one-time code be texted to ``mobile``, if a patient has that number.

    Nothing is returned and nothing raised: the answer must be the same whether or not the number is known, malformed,
    or asked for too often. The code exists only inside the sealed event. People who share a phone get one text.
    """
    codes = create_sign_in_codes(session, mobile)
    if codes:
        first = codes[0]
        emit(
            session,
            EventKind.SIGN_IN_CODE_ASKED,
            subject=Subject("link", first.link_id),
            episode_id=first.episode_id,
            code=first.code.reveal(),
        )

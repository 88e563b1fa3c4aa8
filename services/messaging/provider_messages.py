"""Texts as the provider has them, and which of them a send of unknown fate became (DOMAIN 7)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.core.personal import Personal
from services.core.programme import Programme


@dataclass(frozen=True, slots=True)
class ProviderMessage:
    """A text as Twilio has it. ``created_at`` is aware UTC, in whole seconds, by Twilio's clock."""

    sid: str
    status: str
    error_code: int | None
    created_at: datetime
    body: Personal[str]


def matching(
    messages: Iterable[ProviderMessage],
    body: Personal[str],
    began_at: datetime,
    taken: Collection[str],
    programme: Programme,
) -> ProviderMessage | None:
    """The text among ``messages`` (of one recipient, as from ``find``) that an unknown send became, or ``None``.

    A text cannot carry an id of ours, so it is known by its body and its time: created within
    ``sms.unknown.accepted_within_seconds`` of ``began_at`` (aware), give or take ``clock_skew_seconds``, and not
    among the SIDs ``taken`` by other notices. The earliest wins. Give ``find`` a ``since`` of
    ``looked_for_since(began_at, programme)``.
    """
    until = began_at + timedelta(seconds=programme.number("sms.unknown.accepted_within_seconds"))
    since = looked_for_since(began_at, programme)
    fitting = (
        message
        for message in messages
        if message.sid not in taken
        and since <= message.created_at <= until
        and message.body.reveal().strip() == body.reveal().strip()
    )
    return min(fitting, key=lambda message: message.created_at, default=None)


def looked_for_since(began_at: datetime, programme: Programme) -> datetime:
    """From when on to look for a send that began at ``began_at`` (aware): earlier by what the clocks may differ."""
    return began_at - timedelta(seconds=programme.number("sms.unknown.clock_skew_seconds"))

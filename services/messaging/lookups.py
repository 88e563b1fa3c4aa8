"""Asking the provider what became of a text (DOMAIN 7): the gateway, and the look for one text among many."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from uuid import UUID

from sqlalchemy import select

from services.core.config import config
from services.core.database import transaction
from services.core.personal import Personal, Secret
from services.core.programme import Programme
from services.messaging.gateways import TwilioGateway
from services.messaging.models import Notice
from services.messaging.provider_messages import ProviderMessage, looked_for_since, matching


def twilio(programme: Programme) -> TwilioGateway:
    """The gateway that the configuration describes."""
    settings = config()
    return _gateway(
        settings.twilio_account_sid,
        settings.twilio_auth_token,
        settings.twilio_messaging_service_sid,
        settings.twilio_api_base,
        programme.number("sms.gateway.timeout_seconds"),
    )


@lru_cache(maxsize=4)
def _gateway(account: str, token: Secret[str], service: str, base: str | None, timeout: float) -> TwilioGateway:
    return TwilioGateway(account, token, service, base, timeout)


def look_for(
    gateway: TwilioGateway,
    notice_id: UUID,
    number: Personal[str],
    body: Personal[str],
    began_at: datetime,
    programme: Programme,
) -> ProviderMessage | None:
    """The text that a send of ``notice_id`` which began at ``began_at`` became, or None. Call it outside a transaction.

    Raises ``Unavailable`` when the provider gives no usable answer.
    """
    found = gateway.find(number, looked_for_since(began_at, programme))
    if not found:
        return None
    sids = [message.sid for message in found]
    with transaction() as session:
        others = select(Notice.provider_id).where(Notice.provider_id.in_(sids), Notice.id != notice_id)
        taken = {sid for sid in session.scalars(others) if sid is not None}
    return matching(found, body, began_at, taken, programme)

"""Referrals: a therapist brings a client, or a medical team a patient who has no therapist yet."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from coordinator.api import cursors
from coordinator.api.endpoints import Call, endpoint, resource
from coordinator.api.fields import Choice, Day, Flag, Id, Moment, PersonalText, Text, page_schema
from coordinator.api.links import address_of
from coordinator.api.patients import EMAIL, PHONE, ZONE, AddressIn
from services.core.personal import Personal
from services.eligibility import referrals
from services.eligibility.facts import Diagnosis
from services.eligibility.models import Referral
from services.eligibility.referral_rules import Source
from services.eligibility.referrals import ReadReferral, ReferralDetails, SmsAgreement
from services.people.access import Action
from services.people.patients import PatientDetails

blueprint = resource("referrals", "Referrals: somebody brings a patient; patient and episode of care appear.")


class ReferredPatientIn(Schema):
    """The client. Without a ``zone`` texts keep to the quiet hours of every zone of the state."""

    full_name = PersonalText(120, required=True)
    birth_date = Day(required=True)
    address = fields.Nested(AddressIn, required=True)
    mobile = PersonalText(32, pattern=PHONE, required=True)
    email = PersonalText(254, pattern=EMAIL, required=True, allow_none=True)
    zone = PersonalText(40, pattern=ZONE, load_default=None, allow_none=True)


class SmsAgreementIn(Schema):
    """The client's agreement to be texted: who took it (default: you), when, and in which words."""

    taken_by = Id(load_default=None, allow_none=True)
    taken_at = Moment(required=True)
    text_version = Text(40, load_default="as_worded")
    wording = PersonalText(2000, required=True)


class ReferralIn(Schema):
    """A referral. ``sms_agreement`` null means: do not text; the answer then holds the link to hand over.

    ``is_enquiry``: the patient asked the medical team themselves.
    """

    patient = fields.Nested(ReferredPatientIn, required=True)
    diagnosis = Choice(Diagnosis, required=True)
    reason = PersonalText(4000, required=True)
    sms_agreement = fields.Nested(SmsAgreementIn, required=True, allow_none=True)
    is_enquiry = Flag(load_default=False)


class ReferralOut(Schema):
    """A referral, without its content."""

    id = fields.UUID(required=True)
    episode_id = fields.UUID(required=True)
    patient_id = fields.UUID(required=True)
    referred_by = fields.UUID(required=True)
    source = Choice(Source, required=True)
    created_at = fields.AwareDateTime(required=True)


class OpenedReferralOut(ReferralOut):
    """A referral with its content."""

    diagnosis = PersonalText(40, required=True)
    reason = PersonalText(4000, required=True)


class CreatedReferralOut(ReferralOut):
    """A fresh referral. ``link`` is the patient's personal link, shown only here; null when it goes by SMS."""

    screening_id = fields.UUID(required=True)
    link = fields.String(required=True, allow_none=True)


@endpoint(
    blueprint,
    "POST",
    "/referrals",
    action=Action.REFER_CLIENT,
    body=ReferralIn,
    answer=CreatedReferralOut,
    status=201,
    located="/referrals/{id}",
)
def refer(call: Call, body: dict[str, Any]) -> dict[str, Any]:
    """Refer a client. Needs KAP training on record and a practice with a partner medical team and pharmacy.

    A medical team may refer where its programme says so; the episode then has no therapist until one is matched.
    """
    details = ReferralDetails(
        patient=_patient(body["patient"]),
        diagnosis=Personal(body["diagnosis"]),
        reason=body["reason"],
        sms_agreement=_agreement(call, body["sms_agreement"]),
        is_enquiry=body["is_enquiry"],
    )
    created = referrals.refer(call.session, call.actor, details)
    link = None if created.link is None else address_of(created.link)
    return {**_content(created.referral), "screening_id": created.screening_id, "link": link}


def _patient(given: dict[str, Any]) -> PatientDetails:
    return PatientDetails(**{**given, "birth_date": Personal(given["birth_date"])})


def _agreement(call: Call, given: dict[str, Any] | None) -> SmsAgreement | None:
    return None if given is None else SmsAgreement(**{**given, "taken_by": given["taken_by"] or call.actor.id})


def _content(referral: Referral) -> dict[str, Any]:
    return {name: getattr(referral, name) for name in ReferralOut().fields}


@endpoint(
    blueprint,
    "GET",
    "/referrals",
    action=Action.READ_REFERRAL,
    query=cursors.PageIn,
    answer=page_schema(ReferralOut, "ReferralPageOut"),
)
def list_referrals(call: Call, query: dict[str, Any]) -> dict[str, Any]:
    """Your referrals, or those to your medical team, newest first."""
    after = cursors.decode(query.get("cursor"))
    found = referrals.list_referrals(
        call.session, call.actor, after=after[1] if after else None, limit=query["limit"] + 1
    )
    return cursors.page(found, query["limit"], lambda referral: (referral.created_at, referral.id))


@endpoint(blueprint, "GET", "/referrals/<uuid:referral_id>", action=Action.READ_REFERRAL, answer=OpenedReferralOut)
def read_referral(call: Call, referral_id: UUID) -> dict[str, Any]:
    """One referral with diagnosis and reason."""
    found: ReadReferral = referrals.read_referral(call.session, call.actor, referral_id)
    return {**_content(found.referral), "diagnosis": found.diagnosis, "reason": found.reason}

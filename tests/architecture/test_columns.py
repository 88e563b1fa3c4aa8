"""Every column of every table: sealed, or one of those that may be plain and why.

A new text column fails this test until somebody has thought about what will stand in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from sqlalchemy import ARRAY, Boolean, Column, Date, DateTime, Integer, LargeBinary, String, Table, TableClause, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from services.prescribing import later_records
from services.tables import PACKAGES, metadata
from services.vault.models import Purpose
from services.vault.rotation import sealed_columns

# Words of the service's own: what kind, in which state, by which step, under which version. Never what a person wrote.
WORDS = {
    "actor_role", "action", "carrier", "cause", "channel", "code", "decision", "delivery_confirmation", "kind",
    "manner", "occasion", "outcome", "party", "phase", "priority", "programme_version", "provider", "purpose",
    "receipt_state", "role", "rule_set_version", "source", "stage_after", "stage_before", "state", "step",
    "subject_kind", "supplied", "supply", "text_version", "tracker_state", "way", "whereabouts", "withdrawal_source",
}  # fmt: skip

# Plain texts that are no words of ours, each with the reason.
PLAIN: Mapping[str, str] = {
    "accounts.password_hash": "argon2id",
    "therapist_profiles.specialities": "what therapists say publicly that they treat",
    "data_keys.wrapping_key": "the name of a key",
    "dead_letters.key_name": "the name of a key",
    "dead_letters.reason": "a code",
    "dea_registrations.state": "a state of the country",
    "events.key_name": "the name of a key",
    "events.last_failure": "the class of an error",
    "licences.number": "public: licensing boards publish it",
    "licences.state": "a state of the country",
    "locations.city": "where a practice treats is public",
    "locations.name": "public",
    "locations.postal_code": "public",
    "locations.state": "public",
    "locations.street": "public",
    "notices.error_code": "a code of Twilio's",
    "notices.once_key": "kinds and ids",
    "notices.provider_id": "Twilio's id of a message",
    "notices.provider_status": "a word of Twilio's",
    "notices.reason": "a code",
    "organisations.city": "an organisation's address is public",
    "organisations.name": "public",
    "organisations.phone": "public: patients call it",
    "organisations.postal_code": "public",
    "organisations.programme": "the name of a programme",
    "organisations.short_name": "public",
    "organisations.state": "public",
    "organisations.states_of_operation": "public",
    "organisations.street": "public",
    "organisations.zone": "public",
    "practitioners.npi": "public: the NPI registry publishes it",
    "programme_adoptions.name": "the name of a programme",
    "programme_adoptions.version": "the version of a programme",
    "programme_versions.version": "the version of a programme",
    "prescriptions.signing_key": "the name of a key",
    "shipments.seen": "stages",
    "shipments.told": "kinds of events",
    "shipments.tracker_error": "a code",
    "shipments.tracker_id": "EasyPost's id of a tracker",
    "tokens.label": "what staff call a program of theirs",
    "tokens.scopes": "words of ours",
    "tracking_events.provider_event_id": "EasyPost's id of an event",
    "tracking_events.status": "a word of EasyPost's",
    "tracking_events.status_detail": "a word of EasyPost's",
    "webhook_deliveries.provider_key": "a provider's id, or a hash",
}

# Plain bytes: hashes and ciphertext that is sealed by other means.
BYTES: Mapping[str, str] = {
    "accounts.email_index": "a blind index",
    "audit_chains.head_mac": "a code",
    "audit_chains.mac": "a code",
    "audit_heads.signature": "a signature",
    "audit_records.mac": "a code",
    "consents.number_index": "a blind index",
    "data_keys.wrapped": "wrapped by a key-encryption key",
    "dead_letters.envelope": "sealed to a party",
    "events.envelope": "sealed to a party",
    "patients.email_index": "a blind index",
    "patients.mobile_index": "a blind index",
    "personal_links.hash": "a hash of 256 random bits",
    "prescriptions.signature": "a signature",
    "shipments.tracking_index": "a blind index",
    "stored_answers.answer": "sealed by its request",
    "stored_answers.key_hash": "a hash",
    "stored_answers.request_hash": "a code",
    "tokens.hash": "a hash of 256 random bits",
}

DOCUMENTS: Mapping[str, str] = {
    "audit_heads.heads": "numbers and codes",
    "audit_records.detail": "codes and ids",
    "programme_versions.content": "settings, and the medical director whom a programme names to everybody",
    "stored_answers.headers": "Content-Type, ETag, Location",
}

# Numbers that say how far something got, never how somebody is.
NUMBERS = {
    "attempts", "capacity", "chain", "escalation", "failed_attempts", "failures", "fill_number", "number",
    "preference", "rank", "relays", "round",
    "sequence", "status", "totp_last_step", "tracker_attempts", "version",
}  # fmt: skip

# Dates of papers and of the law's periods; a birth date is sealed.
DATES = {
    "dea_registrations.expires_on", "dea_registrations.revoked_on", "eligibility_decisions.valid_until",
    "fills.filled_on", "licences.expires_on", "licences.revoked_on", "practitioners.kap_trained_on",
    "prescriptions.expires_on", "prescriptions.issued_on", "programme_adoptions.effective_from",
    "security_reviews.day", "signing_logs.month",
}  # fmt: skip


def columns() -> Iterator[tuple[str, Column[Any]]]:
    """Every column that is not sealed, by table and name."""
    for table in metadata.sorted_tables:
        sealed = sealed_columns(table)
        yield from ((f"{table.name}.{column.key}", column) for column in table.columns if column not in sealed)


def is_accounted_for(name: str, column: Column[Any]) -> bool:
    match column.type:
        case Uuid() | DateTime() | Boolean():
            return True
        case String():
            return column.key in WORDS or name in PLAIN
        case ARRAY():
            return name in PLAIN
        case LargeBinary():
            return name in BYTES
        case JSONB():
            return name in DOCUMENTS
        case Integer():
            return column.key in NUMBERS
        case Date():
            return name in DATES
    return False


def test_every_column_is_sealed_or_known_to_hold_nothing_personal() -> None:
    assert [name for name, column in columns() if not is_accounted_for(name, column)] == []


def test_nothing_is_excused_that_does_not_exist() -> None:
    there_are = {name for name, _ in columns()}
    assert {*PLAIN, *BYTES, *DOCUMENTS, *DATES} - there_are == set()
    keys = {column.key for _, column in columns()}
    assert (WORDS | NUMBERS) - keys == set()


def test_words_of_the_services_own_are_short() -> None:
    """Nobody's name, address or remark fits by accident where a word stands."""
    too_long = [
        name
        for name, column in columns()
        if column.key in WORDS and isinstance(column.type, String) and not 0 < (column.type.length or 0) <= 80
    ]
    assert too_long == []


def test_what_must_be_sealed_is() -> None:
    sealed = {f"{table.name}.{column.key}" for table in metadata.sorted_tables for column in sealed_columns(table)}
    assert sealed >= {
        "patients.full_name", "patients.birth_date", "patients.address", "patients.mobile", "patients.email",
        "accounts.email", "accounts.full_name", "accounts.phone", "accounts.totp_secret", "dea_registrations.number",
        "consents.wording", "referrals.diagnosis", "referrals.reason", "screenings.answers", "screenings.results",
        "risk_flags.triage", "eligibility_reviews.findings", "eligibility_decisions.reasons", "prescriptions.content",
        "prescriptions.signed_content", "fills.quantity", "pdmp_checks.result", "shipments.tracking_code",
        "shipments.ship_to", "receipts.answer", "sessions.place", "vitals.reading", "doses.content",
        "adverse_events.content", "wastes.content", "stock_counts.units", "assessments.answers",
        "response_decisions.findings", "response_decisions.decision", "response_decisions.reason",
        "outcome_reports.results",
        "outcome_reports.summary", "psychotherapy_notes.text", "psychotherapy_note_versions.text",
        "match_options.findings", "match_options.reason", "question_posts.text",
        "circles.title", "circles.address", "circle_places.note", "journal_entries.text", "journal_entries.prompt",
        "refill_requests.facts", "refill_acts.reason", "notices.address", "notices.body", "tasks.reason",
        "webhook_deliveries.raw",
    }  # fmt: skip


def owned() -> Iterator[tuple[Table, Column[Any]]]:
    for table in metadata.sorted_tables:
        for column in sealed_columns(table):
            yield table, column


def test_every_sealed_column_has_a_row_id_and_an_owner_that_is_always_there() -> None:
    """The binding of a sealed value names its row by ``id``; re-encryption finds the key through the owner."""
    for table, column in owned():
        assert [key.name for key in table.primary_key.columns] == ["id"], table.name
        owner = table.columns[column.info["sealed_owner"]]
        assert (type(owner.type), owner.nullable) == (Uuid, False), f"{table.name}.{column.key}"


def test_only_psychotherapy_notes_have_a_purpose_of_their_own() -> None:
    apart = {table.name for table, column in owned() if column.info["sealed_purpose"] is not Purpose.RECORD}
    assert apart == {"psychotherapy_notes", "psychotherapy_note_versions"}


def test_every_package_with_tables_is_gathered() -> None:
    assert {"audit", "core", "messaging", "people", "sessions", "vault"} < set(PACKAGES)
    assert len(metadata.tables) > 40


@pytest.mark.parametrize("by_hand", [each for each in vars(later_records).values() if isinstance(each, TableClause)])
def test_columns_that_are_named_by_hand_exist_and_hold_what_they_are_read_as(by_hand: TableClause) -> None:
    real = metadata.tables[by_hand.name]
    for column in by_hand.columns:
        assert type(real.columns[column.name].type) is type(column.type), f"{by_hand.name}.{column.name}"
        assert not isinstance(real.columns[column.name].type, LargeBinary), "what is sealed is not read here"

"""All tables, and the trigger that keeps the audit trail append-only."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_chains",
        sa.Column("chain", sa.SmallInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.Column("head_mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("chain", name=op.f("pk_audit_chains")),
    )
    op.create_table(
        "audit_heads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heads", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_heads")),
    )
    op.create_index(op.f("ix_audit_heads_at"), "audit_heads", ["at"], unique=False)
    op.create_table(
        "audit_records",
        sa.Column("chain", sa.SmallInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("actor_role", sa.String(length=20), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("subject_kind", sa.String(length=40), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("episode_id", sa.Uuid(), nullable=True),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "sequence", name=op.f("pk_audit_records")),
    )
    op.create_index("ix_audit_records_at", "audit_records", ["at"], unique=False)
    op.create_index("ix_audit_records_episode_id", "audit_records", ["episode_id", "at"], unique=False)
    op.create_table(
        "data_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(length=30), nullable=False),
        sa.Column("wrapping_key", sa.String(length=40), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_keys")),
    )
    op.create_index("ix_data_keys_owner_id", "data_keys", ["owner_id", "purpose", "created_at"], unique=False)
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("party", sa.String(length=20), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("key_name", sa.String(length=40), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.String(length=60), nullable=False),
        sa.Column("buried_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("replayed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
    )
    op.create_index(op.f("ix_dead_letters_event_id"), "dead_letters", ["event_id"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("party", sa.String(length=20), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("key_name", sa.String(length=40), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_relay_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("relays", sa.SmallInteger(), nullable=False),
        sa.Column("failures", sa.SmallInteger(), nullable=False),
        sa.Column("last_failure", sa.String(length=60), nullable=True),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(length=10), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_acknowledged_at", "events", ["acknowledged_at"], unique=False)
    op.create_index(
        "ix_events_next_relay_at",
        "events",
        ["next_relay_at"],
        unique=False,
        postgresql_where=sa.text("acknowledged_at IS NULL"),
    )
    op.create_table(
        "notices",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("purpose", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("recipient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=True),
        sa.Column("subject_kind", sa.String(length=40), nullable=True),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        sa.Column("address", sa.LargeBinary(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("reason", sa.String(length=60), nullable=True),
        sa.Column("send_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("once_key", sa.String(length=120), nullable=True),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("attempted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("provider_id", sa.String(length=40), nullable=True),
        sa.Column("provider_status", sa.String(length=20), nullable=True),
        sa.Column("error_code", sa.String(length=20), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sa.UniqueConstraint("once_key", name=op.f("uq_notices_once_key")),
    )
    op.create_index("ix_notices_provider_id", "notices", ["provider_id"], unique=False)
    op.create_index("ix_notices_recipient_id", "notices", ["recipient_id", "created_at"], unique=False)
    op.create_index(
        "ix_notices_send_at",
        "notices",
        ["send_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('pending', 'held', 'sending')"),
    )
    op.create_index(
        "ix_notices_unknown", "notices", ["send_at"], unique=False, postgresql_where=sa.text("state = 'unknown'")
    )
    op.create_table(
        "organisations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("short_name", sa.String(length=24), nullable=False),
        sa.Column("phone", sa.String(length=20), nullable=False),
        sa.Column("street", sa.String(length=120), nullable=False),
        sa.Column("city", sa.String(length=60), nullable=False),
        sa.Column("state", sa.String(length=2), nullable=False),
        sa.Column("postal_code", sa.String(length=10), nullable=False),
        sa.Column("zone", sa.String(length=40), nullable=False),
        sa.Column("states_of_operation", postgresql.ARRAY(sa.String(length=2)), nullable=False),
        sa.Column("partner_medical_team_id", sa.Uuid(), nullable=True),
        sa.Column("partner_pharmacy_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["partner_medical_team_id"], ["organisations.id"], name=op.f("fk_organisations_partner_medical_team_id")
        ),
        sa.ForeignKeyConstraint(
            ["partner_pharmacy_id"], ["organisations.id"], name=op.f("fk_organisations_partner_pharmacy_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organisations")),
    )
    op.create_index(op.f("ix_organisations_kind"), "organisations", ["kind"], unique=False)
    op.create_table(
        "patients",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("full_name", sa.LargeBinary(), nullable=False),
        sa.Column("birth_date", sa.LargeBinary(), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=False),
        sa.Column("mobile", sa.LargeBinary(), nullable=False),
        sa.Column("email", sa.LargeBinary(), nullable=True),
        sa.Column("zone", sa.LargeBinary(), nullable=True),
        sa.Column("mobile_index", sa.LargeBinary(), nullable=False),
        sa.Column("email_index", sa.LargeBinary(), nullable=True),
        sa.Column("part2", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patients")),
    )
    op.create_index(op.f("ix_patients_email_index"), "patients", ["email_index"], unique=False)
    op.create_index(op.f("ix_patients_mobile_index"), "patients", ["mobile_index"], unique=False)
    op.create_table(
        "settlements",
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("subject_id", "kind", name=op.f("pk_settlements")),
    )
    op.create_table(
        "stored_answers",
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key_hash", name=op.f("pk_stored_answers")),
    )
    op.create_index("ix_stored_answers_expires_at", "stored_answers", ["expires_at"], unique=False)
    op.create_table(
        "tasks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("priority", sa.String(length=10), nullable=False),
        sa.Column("party", sa.String(length=20), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("accepted_by", sa.Uuid(), nullable=True),
        sa.Column("episode_id", sa.Uuid(), nullable=True),
        sa.Column("subject_kind", sa.String(length=40), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.LargeBinary(), nullable=True),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("escalation", sa.SmallInteger(), nullable=False),
        sa.Column("escalate_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
    )
    op.create_index(
        "ix_tasks_escalate_at",
        "tasks",
        ["escalate_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('requested', 'accepted', 'in_progress')"),
    )
    op.create_index(
        "ix_tasks_inbox",
        "tasks",
        ["owner_id", "due_at", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('requested', 'accepted', 'in_progress')"),
    )
    op.create_index(
        "ix_tasks_inbox_kind",
        "tasks",
        ["owner_id", "kind", "due_at", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('requested', 'accepted', 'in_progress')"),
    )
    op.create_index("ix_tasks_owner_state", "tasks", ["owner_id", "state", "due_at", "id"], unique=False)
    op.create_index(
        "ix_tasks_subject_id",
        "tasks",
        ["subject_id"],
        unique=False,
        postgresql_where=sa.text("state IN ('requested', 'accepted', 'in_progress')"),
    )
    op.create_table(
        "timers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("subject_kind", sa.String(length=40), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(length=10), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_timers")),
    )
    op.create_index(
        "ix_timers_due_at", "timers", ["due_at"], unique=False, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_index(
        "ix_timers_subject_id", "timers", ["subject_id"], unique=False, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("provider", sa.String(length=20), nullable=False),
        sa.Column("provider_key", sa.String(length=120), nullable=True),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint("provider_key", name=op.f("uq_webhook_deliveries_provider_key")),
    )
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("email_index", sa.LargeBinary(), nullable=False),
        sa.Column("email", sa.LargeBinary(), nullable=True),
        sa.Column("full_name", sa.LargeBinary(), nullable=True),
        sa.Column("phone", sa.LargeBinary(), nullable=True),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("totp_secret", sa.LargeBinary(), nullable=True),
        sa.Column("totp_last_step", sa.Integer(), nullable=False),
        sa.Column("failed_attempts", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("on_call", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name=op.f("fk_accounts_organisation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("email_index", name=op.f("uq_accounts_email_index")),
    )
    op.create_index(op.f("ix_accounts_organisation_id"), "accounts", ["organisation_id"], unique=False)
    op.create_table(
        "consents",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("text_version", sa.String(length=40), nullable=False),
        sa.Column("wording", sa.LargeBinary(), nullable=True),
        sa.Column("source", sa.String(length=30), nullable=False),
        sa.Column("taken_by", sa.Uuid(), nullable=False),
        sa.Column("number_index", sa.LargeBinary(), nullable=True),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawal_source", sa.String(length=30), nullable=True),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_consents_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consents")),
    )
    op.create_index("ix_consents_patient_id", "consents", ["patient_id", "kind"], unique=False)
    op.create_table(
        "dea_registrations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=2), nullable=False),
        sa.Column("number", sa.LargeBinary(), nullable=False),
        sa.Column("expires_on", sa.Date(), nullable=False),
        sa.Column("revoked_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_dea_registrations_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dea_registrations")),
    )
    op.create_index(op.f("ix_dea_registrations_account_id"), "dea_registrations", ["account_id"], unique=False)
    op.create_table(
        "episodes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("practice_id", sa.Uuid(), nullable=False),
        sa.Column("therapist_id", sa.Uuid(), nullable=True),
        sa.Column("medical_team_id", sa.Uuid(), nullable=False),
        sa.Column("prescriber_id", sa.Uuid(), nullable=True),
        sa.Column("pharmacy_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("programme_version", sa.String(length=80), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["medical_team_id"], ["organisations.id"], name=op.f("fk_episodes_medical_team_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_episodes_patient_id")),
        sa.ForeignKeyConstraint(["pharmacy_id"], ["organisations.id"], name=op.f("fk_episodes_pharmacy_id")),
        sa.ForeignKeyConstraint(["practice_id"], ["organisations.id"], name=op.f("fk_episodes_practice_id")),
        sa.ForeignKeyConstraint(["prescriber_id"], ["accounts.id"], name=op.f("fk_episodes_prescriber_id")),
        sa.ForeignKeyConstraint(["therapist_id"], ["accounts.id"], name=op.f("fk_episodes_therapist_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_episodes")),
    )
    op.create_index("ix_episodes_medical_team_id", "episodes", ["medical_team_id"], unique=False)
    op.create_index(op.f("ix_episodes_patient_id"), "episodes", ["patient_id"], unique=False)
    op.create_index("ix_episodes_pharmacy_id", "episodes", ["pharmacy_id"], unique=False)
    op.create_index("ix_episodes_practice_id", "episodes", ["practice_id"], unique=False)
    op.create_index("ix_episodes_therapist_id", "episodes", ["therapist_id"], unique=False)
    op.create_table(
        "licences",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=2), nullable=False),
        sa.Column("number", sa.String(length=40), nullable=False),
        sa.Column("expires_on", sa.Date(), nullable=False),
        sa.Column("revoked_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_licences_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_licences")),
        sa.UniqueConstraint("account_id", "state", "number", name=op.f("uq_licences_account_id_state_number")),
    )
    op.create_index(op.f("ix_licences_account_id"), "licences", ["account_id"], unique=False)
    op.create_table(
        "practitioners",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("npi", sa.String(length=10), nullable=True),
        sa.Column("kap_trained_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_practitioners_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_practitioners")),
    )
    op.create_table(
        "pdmp_checks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("checked_by", sa.Uuid(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("result", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_pdmp_checks_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_pdmp_checks_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pdmp_checks")),
    )
    op.create_index("ix_pdmp_checks_episode_id", "pdmp_checks", ["episode_id", "checked_at"], unique=False)
    op.create_table(
        "personal_links",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_attempts", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_personal_links_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_personal_links_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_personal_links")),
        sa.UniqueConstraint("hash", name=op.f("uq_personal_links_hash")),
    )
    op.create_index(op.f("ix_personal_links_patient_id"), "personal_links", ["patient_id"], unique=False)
    op.create_table(
        "prescriber_contacts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("prescriber_id", sa.Uuid(), nullable=False),
        sa.Column("manner", sa.String(length=20), nullable=False),
        sa.Column("held_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_prescriber_contacts_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_prescriber_contacts_patient_id")),
        sa.ForeignKeyConstraint(["prescriber_id"], ["accounts.id"], name=op.f("fk_prescriber_contacts_prescriber_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prescriber_contacts")),
    )
    op.create_index("ix_prescriber_contacts_episode_id", "prescriber_contacts", ["episode_id", "held_at"], unique=False)
    op.create_index(op.f("ix_prescriber_contacts_patient_id"), "prescriber_contacts", ["patient_id"], unique=False)
    op.create_table(
        "prescriptions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("prescriber_id", sa.Uuid(), nullable=False),
        sa.Column("drafted_by", sa.Uuid(), nullable=False),
        sa.Column("replaces_id", sa.Uuid(), nullable=True),
        sa.Column("refill_request_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("review", sa.LargeBinary(), nullable=False),
        sa.Column("end_reason", sa.LargeBinary(), nullable=True),
        sa.Column("agreed_by", sa.Uuid(), nullable=True),
        sa.Column("drafted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("issued_on", sa.Date(), nullable=True),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.Column("signed_content", sa.LargeBinary(), nullable=True),
        sa.Column("signature", sa.LargeBinary(), nullable=True),
        sa.Column("signing_key", sa.String(length=40), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_prescriptions_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_prescriptions_patient_id")),
        sa.ForeignKeyConstraint(["replaces_id"], ["prescriptions.id"], name=op.f("fk_prescriptions_replaces_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prescriptions")),
    )
    op.create_index("ix_prescriptions_episode_id", "prescriptions", ["episode_id", "id"], unique=False)
    op.create_index(op.f("ix_prescriptions_patient_id"), "prescriptions", ["patient_id"], unique=False)
    op.create_table(
        "referrals",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("referred_by", sa.Uuid(), nullable=False),
        sa.Column("diagnosis", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_referrals_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_referrals_patient_id")),
        sa.ForeignKeyConstraint(["referred_by"], ["accounts.id"], name=op.f("fk_referrals_referred_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_referrals")),
        sa.UniqueConstraint("episode_id", name=op.f("uq_referrals_episode_id")),
    )
    op.create_index(op.f("ix_referrals_patient_id"), "referrals", ["patient_id"], unique=False)
    op.create_index("ix_referrals_referred_by", "referrals", ["referred_by"], unique=False)
    op.create_table(
        "risk_flags",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.String(length=20), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("triage", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.LargeBinary(), nullable=True),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cleared_by", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["cleared_by"], ["accounts.id"], name=op.f("fk_risk_flags_cleared_by")),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_risk_flags_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_risk_flags_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_risk_flags")),
    )
    op.create_index("ix_risk_flags_episode_id", "risk_flags", ["episode_id", "raised_at"], unique=False)
    op.create_index(
        "ix_risk_flags_raised", "risk_flags", ["episode_id"], unique=False, postgresql_where=sa.text("state = 'raised'")
    )
    op.create_table(
        "round_extensions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("extended_by", sa.Uuid(), nullable=False),
        sa.Column("extended_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_round_extensions_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_round_extensions_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_round_extensions")),
    )
    op.create_index(op.f("ix_round_extensions_episode_id"), "round_extensions", ["episode_id"], unique=False)
    op.create_table(
        "screenings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("round", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("answers", sa.LargeBinary(), nullable=True),
        sa.Column("results", sa.LargeBinary(), nullable=True),
        sa.Column("request", sa.LargeBinary(), nullable=True),
        sa.Column("programme_version", sa.String(length=80), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_screenings_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_screenings_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_screenings")),
        sa.UniqueConstraint("episode_id", "round", name=op.f("uq_screenings_episode_id_round")),
    )
    op.create_index("ix_screenings_patient_id", "screenings", ["patient_id"], unique=False)
    op.create_index(
        "uq_screenings_opened", "screenings", ["episode_id"], unique=True, postgresql_where=sa.text("state = 'opened'")
    )
    op.create_table(
        "stock_counts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("units", sa.LargeBinary(), nullable=False),
        sa.Column("counted_by", sa.Uuid(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_stock_counts_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_stock_counts_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stock_counts")),
    )
    op.create_index("ix_stock_counts_episode_id", "stock_counts", ["episode_id", "id"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("patient_id", sa.Uuid(), nullable=True),
        sa.Column("episode_id", sa.Uuid(), nullable=True),
        sa.Column("scopes", postgresql.ARRAY(sa.String(length=40)), nullable=False),
        sa.Column("label", sa.String(length=60), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_tokens_account_id")),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_tokens_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_tokens_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("hash", name=op.f("uq_tokens_hash")),
    )
    op.create_index(op.f("ix_tokens_account_id"), "tokens", ["account_id"], unique=False)
    op.create_index(op.f("ix_tokens_patient_id"), "tokens", ["patient_id"], unique=False)
    op.create_table(
        "doses_taken",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("prescription_id", sa.Uuid(), nullable=False),
        sa.Column("amounts", sa.LargeBinary(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_doses_taken_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_doses_taken_patient_id")),
        sa.ForeignKeyConstraint(["prescription_id"], ["prescriptions.id"], name=op.f("fk_doses_taken_prescription_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_doses_taken")),
        sa.UniqueConstraint("session_id", name=op.f("uq_doses_taken_session_id")),
    )
    op.create_index("ix_doses_taken_episode_id", "doses_taken", ["episode_id", "taken_at"], unique=False)
    op.create_table(
        "eligibility_reviews",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("screening_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("inputs", sa.LargeBinary(), nullable=False),
        sa.Column("inputs_hash", sa.LargeBinary(), nullable=False),
        sa.Column("findings", sa.LargeBinary(), nullable=False),
        sa.Column("programme_version", sa.String(length=80), nullable=False),
        sa.Column("rule_set_version", sa.String(length=40), nullable=False),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_eligibility_reviews_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_eligibility_reviews_patient_id")),
        sa.ForeignKeyConstraint(["screening_id"], ["screenings.id"], name=op.f("fk_eligibility_reviews_screening_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_eligibility_reviews")),
        sa.UniqueConstraint("screening_id", name=op.f("uq_eligibility_reviews_screening_id")),
    )
    op.create_index(
        "ix_eligibility_reviews_episode_id", "eligibility_reviews", ["episode_id", "evaluated_at"], unique=False
    )
    op.create_index(op.f("ix_eligibility_reviews_patient_id"), "eligibility_reviews", ["patient_id"], unique=False)
    op.create_table(
        "fill_authorizations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("prescription_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("fill_number", sa.SmallInteger(), nullable=False),
        sa.Column("refill_request_id", sa.Uuid(), nullable=False),
        sa.Column("authorized_by", sa.Uuid(), nullable=False),
        sa.Column("authorized_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_fill_authorizations_episode_id")),
        sa.ForeignKeyConstraint(
            ["prescription_id"], ["prescriptions.id"], name=op.f("fk_fill_authorizations_prescription_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fill_authorizations")),
        sa.UniqueConstraint(
            "prescription_id", "fill_number", name=op.f("uq_fill_authorizations_prescription_id_fill_number")
        ),
        sa.UniqueConstraint("refill_request_id", name=op.f("uq_fill_authorizations_refill_request_id")),
    )
    op.create_table(
        "fills",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("prescription_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("fill_number", sa.SmallInteger(), nullable=False),
        sa.Column("is_refill", sa.Boolean(), nullable=False),
        sa.Column("quantity", sa.LargeBinary(), nullable=False),
        sa.Column("filled_on", sa.Date(), nullable=False),
        sa.Column("recorded_by", sa.Uuid(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undelivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_fills_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_fills_patient_id")),
        sa.ForeignKeyConstraint(["prescription_id"], ["prescriptions.id"], name=op.f("fk_fills_prescription_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fills")),
    )
    op.create_index("ix_fills_episode_id", "fills", ["episode_id"], unique=False)
    op.create_index("ix_fills_prescription_id", "fills", ["prescription_id", "id"], unique=False)
    op.create_table(
        "refill_requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("requested_by", sa.Uuid(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("comment", sa.LargeBinary(), nullable=True),
        sa.Column("facts", sa.LargeBinary(), nullable=False),
        sa.Column("inputs_hash", sa.LargeBinary(), nullable=False),
        sa.Column("findings", sa.LargeBinary(), nullable=False),
        sa.Column("programme_version", sa.String(length=80), nullable=False),
        sa.Column("supply", sa.String(length=20), nullable=True),
        sa.Column("prescription_id", sa.Uuid(), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["decided_by"], ["accounts.id"], name=op.f("fk_refill_requests_decided_by")),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_refill_requests_episode_id")),
        sa.ForeignKeyConstraint(["owner_id"], ["accounts.id"], name=op.f("fk_refill_requests_owner_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_refill_requests_patient_id")),
        sa.ForeignKeyConstraint(
            ["prescription_id"], ["prescriptions.id"], name=op.f("fk_refill_requests_prescription_id")
        ),
        sa.ForeignKeyConstraint(["requested_by"], ["accounts.id"], name=op.f("fk_refill_requests_requested_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refill_requests")),
    )
    op.create_index("ix_refill_requests_episode_id", "refill_requests", ["episode_id", "requested_at"], unique=False)
    op.create_index(op.f("ix_refill_requests_patient_id"), "refill_requests", ["patient_id"], unique=False)
    op.create_index(
        "uq_refill_requests_open",
        "refill_requests",
        ["episode_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('requested', 'returned')"),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("therapist_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("prescription_id", sa.Uuid(), nullable=True),
        sa.Column("integrates_id", sa.Uuid(), nullable=True),
        sa.Column("place", sa.LargeBinary(), nullable=False),
        sa.Column("readiness", sa.LargeBinary(), nullable=True),
        sa.Column("reason", sa.LargeBinary(), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reschedule_asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dosed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_dose_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_sessions_episode_id")),
        sa.ForeignKeyConstraint(["integrates_id"], ["sessions.id"], name=op.f("fk_sessions_integrates_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_sessions_patient_id")),
        sa.ForeignKeyConstraint(["prescription_id"], ["prescriptions.id"], name=op.f("fk_sessions_prescription_id")),
        sa.ForeignKeyConstraint(["therapist_id"], ["accounts.id"], name=op.f("fk_sessions_therapist_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    op.create_index("ix_sessions_episode_id", "sessions", ["episode_id", "starts_at", "id"], unique=False)
    op.create_index(op.f("ix_sessions_integrates_id"), "sessions", ["integrates_id"], unique=False)
    op.create_index(op.f("ix_sessions_patient_id"), "sessions", ["patient_id"], unique=False)
    op.create_index("ix_sessions_therapist_id", "sessions", ["therapist_id", "starts_at"], unique=False)
    op.create_table(
        "adverse_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("resolution", sa.LargeBinary(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_by", sa.Uuid(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_adverse_events_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_adverse_events_patient_id")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_adverse_events_session_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adverse_events")),
    )
    op.create_index("ix_adverse_events_episode_id", "adverse_events", ["episode_id", "id"], unique=False)
    op.create_index("ix_adverse_events_open", "adverse_events", ["episode_id", "state"], unique=False)
    op.create_table(
        "checks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_by", sa.Uuid(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_checks_patient_id")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_checks_session_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checks")),
    )
    op.create_index(op.f("ix_checks_session_id"), "checks", ["session_id"], unique=False)
    op.create_table(
        "doses",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("prescription_id", sa.Uuid(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_by", sa.Uuid(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_doses_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_doses_patient_id")),
        sa.ForeignKeyConstraint(["prescription_id"], ["prescriptions.id"], name=op.f("fk_doses_prescription_id")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_doses_session_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_doses")),
    )
    op.create_index(op.f("ix_doses_episode_id"), "doses", ["episode_id"], unique=False)
    op.create_index(op.f("ix_doses_patient_id"), "doses", ["patient_id"], unique=False)
    op.create_index(op.f("ix_doses_session_id"), "doses", ["session_id"], unique=False)
    op.create_table(
        "eligibility_decisions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("review_id", sa.Uuid(), nullable=False),
        sa.Column("decision", sa.String(length=20), nullable=False),
        sa.Column("decided_by", sa.Uuid(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=True),
        sa.Column("inputs", sa.LargeBinary(), nullable=False),
        sa.Column("inputs_hash", sa.LargeBinary(), nullable=False),
        sa.Column("findings", sa.LargeBinary(), nullable=False),
        sa.Column("reasons", sa.LargeBinary(), nullable=False),
        sa.Column("programme_version", sa.String(length=80), nullable=False),
        sa.Column("rule_set_version", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["decided_by"], ["accounts.id"], name=op.f("fk_eligibility_decisions_decided_by")),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_eligibility_decisions_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_eligibility_decisions_patient_id")),
        sa.ForeignKeyConstraint(
            ["review_id"], ["eligibility_reviews.id"], name=op.f("fk_eligibility_decisions_review_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_eligibility_decisions")),
        sa.UniqueConstraint("review_id", name=op.f("uq_eligibility_decisions_review_id")),
    )
    op.create_index(
        "ix_eligibility_decisions_episode_id", "eligibility_decisions", ["episode_id", "decided_at"], unique=False
    )
    op.create_index(op.f("ix_eligibility_decisions_patient_id"), "eligibility_decisions", ["patient_id"], unique=False)
    op.create_table(
        "outcome_reports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("scales", postgresql.ARRAY(sa.String(length=40)), nullable=False),
        sa.Column("results", sa.LargeBinary(), nullable=True),
        sa.Column("summary", sa.LargeBinary(), nullable=True),
        sa.Column("programme_version", sa.String(length=80), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reported_by", sa.Uuid(), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_outcome_reports_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_outcome_reports_patient_id")),
        sa.ForeignKeyConstraint(["reported_by"], ["accounts.id"], name=op.f("fk_outcome_reports_reported_by")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_outcome_reports_session_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outcome_reports")),
    )
    op.create_index("ix_outcome_reports_episode_id", "outcome_reports", ["episode_id", "reported_at"], unique=False)
    op.create_index(op.f("ix_outcome_reports_patient_id"), "outcome_reports", ["patient_id"], unique=False)
    op.create_table(
        "psychotherapy_notes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["author_id"], ["accounts.id"], name=op.f("fk_psychotherapy_notes_author_id")),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_psychotherapy_notes_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_psychotherapy_notes_patient_id")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_psychotherapy_notes_session_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_psychotherapy_notes")),
    )
    op.create_index(
        "ix_psychotherapy_notes_episode_id",
        "psychotherapy_notes",
        ["episode_id", "author_id", "created_at"],
        unique=False,
    )
    op.create_index(op.f("ix_psychotherapy_notes_patient_id"), "psychotherapy_notes", ["patient_id"], unique=False)
    op.create_table(
        "refill_acts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("step", sa.String(length=20), nullable=False),
        sa.Column("acted_by", sa.Uuid(), nullable=False),
        sa.Column("acted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("to_id", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.LargeBinary(), nullable=True),
        sa.Column("facts", sa.LargeBinary(), nullable=True),
        sa.Column("inputs_hash", sa.LargeBinary(), nullable=True),
        sa.Column("findings", sa.LargeBinary(), nullable=True),
        sa.Column("programme_version", sa.String(length=80), nullable=True),
        sa.ForeignKeyConstraint(["acted_by"], ["accounts.id"], name=op.f("fk_refill_acts_acted_by")),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_refill_acts_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_refill_acts_patient_id")),
        sa.ForeignKeyConstraint(["request_id"], ["refill_requests.id"], name=op.f("fk_refill_acts_request_id")),
        sa.ForeignKeyConstraint(["to_id"], ["accounts.id"], name=op.f("fk_refill_acts_to_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refill_acts")),
    )
    op.create_index(op.f("ix_refill_acts_patient_id"), "refill_acts", ["patient_id"], unique=False)
    op.create_index("ix_refill_acts_request_id", "refill_acts", ["request_id", "id"], unique=False)
    op.create_table(
        "shipments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("prescription_id", sa.Uuid(), nullable=False),
        sa.Column("fill_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("carrier", sa.String(length=40), nullable=False),
        sa.Column("delivery_confirmation", sa.String(length=40), nullable=False),
        sa.Column("tracking_code", sa.LargeBinary(), nullable=False),
        sa.Column("tracking_index", sa.LargeBinary(), nullable=False),
        sa.Column("ship_to", sa.LargeBinary(), nullable=False),
        sa.Column("quantity", sa.LargeBinary(), nullable=False),
        sa.Column("tracker_state", sa.String(length=20), nullable=False),
        sa.Column("tracker_id", sa.String(length=80), nullable=True),
        sa.Column("tracker_attempts", sa.SmallInteger(), nullable=False),
        sa.Column("tracker_due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tracker_error", sa.String(length=60), nullable=True),
        sa.Column("public_url", sa.LargeBinary(), nullable=True),
        sa.Column("last_scan_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("estimated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seen", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("told", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("signed", sa.Boolean(), nullable=False),
        sa.Column("damage_reported", sa.Boolean(), nullable=False),
        sa.Column("contradicted", sa.Boolean(), nullable=False),
        sa.Column("receipt_state", sa.String(length=20), nullable=False),
        sa.Column("address_reason", sa.LargeBinary(), nullable=True),
        sa.Column("reason", sa.LargeBinary(), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_shipments_episode_id")),
        sa.ForeignKeyConstraint(["fill_id"], ["fills.id"], name=op.f("fk_shipments_fill_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_shipments_patient_id")),
        sa.ForeignKeyConstraint(["prescription_id"], ["prescriptions.id"], name=op.f("fk_shipments_prescription_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shipments")),
        sa.UniqueConstraint("tracker_id", name=op.f("uq_shipments_tracker_id")),
        sa.UniqueConstraint("tracking_index", name=op.f("uq_shipments_tracking_index")),
    )
    op.create_index("ix_shipments_episode_id", "shipments", ["episode_id", "id"], unique=False)
    op.create_index(op.f("ix_shipments_patient_id"), "shipments", ["patient_id"], unique=False)
    op.create_index(
        "ix_shipments_tracker_due_at",
        "shipments",
        ["tracker_due_at"],
        unique=False,
        postgresql_where=sa.text("tracker_state IN ('pending', 'asking', 'unknown')"),
    )
    op.create_index(
        "uq_shipments_fill_id", "shipments", ["fill_id"], unique=True, postgresql_where=sa.text("state <> 'cancelled'")
    )
    op.create_table(
        "vitals",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("phase", sa.String(length=10), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reading", sa.LargeBinary(), nullable=False),
        sa.Column("gate", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_by", sa.Uuid(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_vitals_patient_id")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_vitals_session_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vitals")),
    )
    op.create_index("ix_vitals_session_id", "vitals", ["session_id", "taken_at", "id"], unique=False)
    op.create_table(
        "wastes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_by", sa.Uuid(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_wastes_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_wastes_patient_id")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_wastes_session_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wastes")),
    )
    op.create_index(op.f("ix_wastes_episode_id"), "wastes", ["episode_id"], unique=False)
    op.create_table(
        "psychotherapy_note_versions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("note_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["author_id"], ["accounts.id"], name=op.f("fk_psychotherapy_note_versions_author_id")),
        sa.ForeignKeyConstraint(
            ["note_id"], ["psychotherapy_notes.id"], name=op.f("fk_psychotherapy_note_versions_note_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_psychotherapy_note_versions")),
        sa.UniqueConstraint("note_id", "number", name=op.f("uq_psychotherapy_note_versions_note_id_number")),
    )
    op.create_table(
        "receipts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("episode_id", sa.Uuid(), nullable=False),
        sa.Column("shipment_id", sa.Uuid(), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("way", sa.String(length=10), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("given_by", sa.Uuid(), nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["episode_id"], ["episodes.id"], name=op.f("fk_receipts_episode_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_receipts_patient_id")),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipments.id"], name=op.f("fk_receipts_shipment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receipts")),
    )
    op.create_index("ix_receipts_shipment_id", "receipts", ["shipment_id", "id"], unique=False)
    op.create_table(
        "tracking_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("provider_event_id", sa.String(length=120), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("shipment_id", sa.Uuid(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.Column("status_detail", sa.String(length=60), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stage_before", sa.String(length=20), nullable=False),
        sa.Column("stage_after", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_tracking_events_patient_id")),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipments.id"], name=op.f("fk_tracking_events_shipment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tracking_events")),
        sa.UniqueConstraint("provider_event_id", name=op.f("uq_tracking_events_provider_event_id")),
    )
    op.create_index(op.f("ix_tracking_events_shipment_id"), "tracking_events", ["shipment_id"], unique=False)

    op.execute(
        """
        CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'audit records are append-only';
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER audit_records_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_records "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()"
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_tracking_events_shipment_id"), table_name="tracking_events")
    op.drop_table("tracking_events")
    op.drop_index("ix_receipts_shipment_id", table_name="receipts")
    op.drop_table("receipts")
    op.drop_table("psychotherapy_note_versions")
    op.drop_index(op.f("ix_wastes_episode_id"), table_name="wastes")
    op.drop_table("wastes")
    op.drop_index("ix_vitals_session_id", table_name="vitals")
    op.drop_table("vitals")
    op.drop_index("uq_shipments_fill_id", table_name="shipments", postgresql_where=sa.text("state <> 'cancelled'"))
    op.drop_index(
        "ix_shipments_tracker_due_at",
        table_name="shipments",
        postgresql_where=sa.text("tracker_state IN ('pending', 'asking', 'unknown')"),
    )
    op.drop_index(op.f("ix_shipments_patient_id"), table_name="shipments")
    op.drop_index("ix_shipments_episode_id", table_name="shipments")
    op.drop_table("shipments")
    op.drop_index("ix_refill_acts_request_id", table_name="refill_acts")
    op.drop_index(op.f("ix_refill_acts_patient_id"), table_name="refill_acts")
    op.drop_table("refill_acts")
    op.drop_index(op.f("ix_psychotherapy_notes_patient_id"), table_name="psychotherapy_notes")
    op.drop_index("ix_psychotherapy_notes_episode_id", table_name="psychotherapy_notes")
    op.drop_table("psychotherapy_notes")
    op.drop_index(op.f("ix_outcome_reports_patient_id"), table_name="outcome_reports")
    op.drop_index("ix_outcome_reports_episode_id", table_name="outcome_reports")
    op.drop_table("outcome_reports")
    op.drop_index(op.f("ix_eligibility_decisions_patient_id"), table_name="eligibility_decisions")
    op.drop_index("ix_eligibility_decisions_episode_id", table_name="eligibility_decisions")
    op.drop_table("eligibility_decisions")
    op.drop_index(op.f("ix_doses_session_id"), table_name="doses")
    op.drop_index(op.f("ix_doses_patient_id"), table_name="doses")
    op.drop_index(op.f("ix_doses_episode_id"), table_name="doses")
    op.drop_table("doses")
    op.drop_index(op.f("ix_checks_session_id"), table_name="checks")
    op.drop_table("checks")
    op.drop_index("ix_adverse_events_open", table_name="adverse_events")
    op.drop_index("ix_adverse_events_episode_id", table_name="adverse_events")
    op.drop_table("adverse_events")
    op.drop_index("ix_sessions_therapist_id", table_name="sessions")
    op.drop_index(op.f("ix_sessions_patient_id"), table_name="sessions")
    op.drop_index(op.f("ix_sessions_integrates_id"), table_name="sessions")
    op.drop_index("ix_sessions_episode_id", table_name="sessions")
    op.drop_table("sessions")
    op.drop_index(
        "uq_refill_requests_open",
        table_name="refill_requests",
        postgresql_where=sa.text("state IN ('requested', 'returned')"),
    )
    op.drop_index(op.f("ix_refill_requests_patient_id"), table_name="refill_requests")
    op.drop_index("ix_refill_requests_episode_id", table_name="refill_requests")
    op.drop_table("refill_requests")
    op.drop_index("ix_fills_prescription_id", table_name="fills")
    op.drop_index("ix_fills_episode_id", table_name="fills")
    op.drop_table("fills")
    op.drop_table("fill_authorizations")
    op.drop_index(op.f("ix_eligibility_reviews_patient_id"), table_name="eligibility_reviews")
    op.drop_index("ix_eligibility_reviews_episode_id", table_name="eligibility_reviews")
    op.drop_table("eligibility_reviews")
    op.drop_index("ix_doses_taken_episode_id", table_name="doses_taken")
    op.drop_table("doses_taken")
    op.drop_index(op.f("ix_tokens_patient_id"), table_name="tokens")
    op.drop_index(op.f("ix_tokens_account_id"), table_name="tokens")
    op.drop_table("tokens")
    op.drop_index("ix_stock_counts_episode_id", table_name="stock_counts")
    op.drop_table("stock_counts")
    op.drop_index("uq_screenings_opened", table_name="screenings", postgresql_where=sa.text("state = 'opened'"))
    op.drop_index("ix_screenings_patient_id", table_name="screenings")
    op.drop_table("screenings")
    op.drop_index(op.f("ix_round_extensions_episode_id"), table_name="round_extensions")
    op.drop_table("round_extensions")
    op.drop_index("ix_risk_flags_raised", table_name="risk_flags", postgresql_where=sa.text("state = 'raised'"))
    op.drop_index("ix_risk_flags_episode_id", table_name="risk_flags")
    op.drop_table("risk_flags")
    op.drop_index("ix_referrals_referred_by", table_name="referrals")
    op.drop_index(op.f("ix_referrals_patient_id"), table_name="referrals")
    op.drop_table("referrals")
    op.drop_index(op.f("ix_prescriptions_patient_id"), table_name="prescriptions")
    op.drop_index("ix_prescriptions_episode_id", table_name="prescriptions")
    op.drop_table("prescriptions")
    op.drop_index(op.f("ix_prescriber_contacts_patient_id"), table_name="prescriber_contacts")
    op.drop_index("ix_prescriber_contacts_episode_id", table_name="prescriber_contacts")
    op.drop_table("prescriber_contacts")
    op.drop_index(op.f("ix_personal_links_patient_id"), table_name="personal_links")
    op.drop_table("personal_links")
    op.drop_index("ix_pdmp_checks_episode_id", table_name="pdmp_checks")
    op.drop_table("pdmp_checks")
    op.drop_table("practitioners")
    op.drop_index(op.f("ix_licences_account_id"), table_name="licences")
    op.drop_table("licences")
    op.drop_index("ix_episodes_therapist_id", table_name="episodes")
    op.drop_index("ix_episodes_practice_id", table_name="episodes")
    op.drop_index("ix_episodes_pharmacy_id", table_name="episodes")
    op.drop_index(op.f("ix_episodes_patient_id"), table_name="episodes")
    op.drop_index("ix_episodes_medical_team_id", table_name="episodes")
    op.drop_table("episodes")
    op.drop_index(op.f("ix_dea_registrations_account_id"), table_name="dea_registrations")
    op.drop_table("dea_registrations")
    op.drop_index("ix_consents_patient_id", table_name="consents")
    op.drop_table("consents")
    op.drop_index(op.f("ix_accounts_organisation_id"), table_name="accounts")
    op.drop_table("accounts")
    op.drop_table("webhook_deliveries")
    op.drop_index("ix_timers_subject_id", table_name="timers", postgresql_where=sa.text("ended_at IS NULL"))
    op.drop_index("ix_timers_due_at", table_name="timers", postgresql_where=sa.text("ended_at IS NULL"))
    op.drop_table("timers")
    op.drop_index(
        "ix_tasks_subject_id",
        table_name="tasks",
        postgresql_where=sa.text("state IN ('requested', 'accepted', 'in_progress')"),
    )
    op.drop_index("ix_tasks_owner_state", table_name="tasks")
    op.drop_index(
        "ix_tasks_inbox_kind",
        table_name="tasks",
        postgresql_where=sa.text("state IN ('requested', 'accepted', 'in_progress')"),
    )
    op.drop_index(
        "ix_tasks_inbox",
        table_name="tasks",
        postgresql_where=sa.text("state IN ('requested', 'accepted', 'in_progress')"),
    )
    op.drop_index(
        "ix_tasks_escalate_at",
        table_name="tasks",
        postgresql_where=sa.text("state IN ('requested', 'accepted', 'in_progress')"),
    )
    op.drop_table("tasks")
    op.drop_index("ix_stored_answers_expires_at", table_name="stored_answers")
    op.drop_table("stored_answers")
    op.drop_table("settlements")
    op.drop_index(op.f("ix_patients_mobile_index"), table_name="patients")
    op.drop_index(op.f("ix_patients_email_index"), table_name="patients")
    op.drop_table("patients")
    op.drop_index(op.f("ix_organisations_kind"), table_name="organisations")
    op.drop_table("organisations")
    op.drop_index("ix_notices_unknown", table_name="notices", postgresql_where=sa.text("state = 'unknown'"))
    op.drop_index(
        "ix_notices_send_at", table_name="notices", postgresql_where=sa.text("state IN ('pending', 'held', 'sending')")
    )
    op.drop_index("ix_notices_recipient_id", table_name="notices")
    op.drop_index("ix_notices_provider_id", table_name="notices")
    op.drop_table("notices")
    op.drop_index("ix_events_next_relay_at", table_name="events", postgresql_where=sa.text("acknowledged_at IS NULL"))
    op.drop_index("ix_events_acknowledged_at", table_name="events")
    op.drop_table("events")
    op.drop_index(op.f("ix_dead_letters_event_id"), table_name="dead_letters")
    op.drop_table("dead_letters")
    op.drop_index("ix_data_keys_owner_id", table_name="data_keys")
    op.drop_table("data_keys")
    op.drop_index("ix_audit_records_episode_id", table_name="audit_records")
    op.drop_index("ix_audit_records_at", table_name="audit_records")
    op.drop_table("audit_records")
    op.drop_index(op.f("ix_audit_heads_at"), table_name="audit_heads")
    op.drop_table("audit_heads")
    op.drop_table("audit_chains")
    op.execute("DROP FUNCTION refuse_audit_change")

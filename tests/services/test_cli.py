"""The command line, as whoever runs the service types it, against a database and a keyring of its own."""

from __future__ import annotations

import json
import os
import pty
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pyotp
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import func, select, text

from coordinator.cli import main
from coordinator.local.migrations import ROOT
from services.audit.models import AuditRecord
from services.core import clock
from services.core.actors import SYSTEM, Role
from services.core.config import read_config
from services.core.database import transaction
from services.core.errors import NotSignedIn
from services.core.ids import new_id
from services.core.personal import Personal, Secret
from services.core.programme import programme
from services.core.vocabulary import Party
from services.messaging import outbox
from services.messaging.models import DeadLetter, Event
from services.outcomes.models import PsychotherapyNote
from services.people import sign_in, tokens
from services.people.models import Account, Organisation, Patient
from services.vault import boxes, keyring
from services.vault.boxes import box
from services.vault.models import DataKey
from tests.factories import make_account
from tests.factories_everything import Everything, make_everything
from tests.own_services import own_keys, service_with
from tests.servers import Servers

BARE = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
PASSPHRASE = "an unlikely made-up passphrase"
ORGANISATION = {
    "--kind": "operations",
    "--name": "Night Desk",
    "--short-name": "Desk",
    "--phone": "415-555-0100",
    "--street": "1 Office Park",
    "--city": "Oakland",
    "--state": "CA",
    "--postal-code": "94601",
}


@dataclass(frozen=True)
class Service:
    """Where the commands work."""

    settings: Mapping[str, str]

    @property
    def keys(self) -> Path:
        return Path(self.settings["COORDINATOR_KEYRING"])

    @property
    def heads(self) -> Path:
        return Path(self.settings["COORDINATOR_AUDIT_HEADS"])


@pytest.fixture(scope="module")
def service(
    servers: Servers, environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory, worker: str
) -> Iterator[Service]:
    """One service for all these tests; none needs it empty."""
    directory = tmp_path_factory.mktemp("service")
    settings = {
        "DATABASE_URL": servers.database(f"commanded_{worker}"),
        "COORDINATOR_KEYRING": str(own_keys(environment, directory)),
        "COORDINATOR_AUDIT_HEADS": str(directory / "heads.jsonl"),
    }
    with service_with(**settings):
        yield Service({**environment, **settings})


@pytest.fixture(scope="module")
def everything(service: Service) -> Everything:
    """A clinic in full swing, committed."""
    with transaction() as session, make_everything(session) as everything:
        return everything


def run(*arguments: object, typed: str = "") -> Result:
    """Type a command, and ``typed`` where it asks."""
    return CliRunner().invoke(main, [str(each) for each in arguments], input=typed)


def ok(*arguments: object, typed: str = "") -> str:
    """What a command that must succeed prints."""
    result = run(*arguments, typed=typed)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object, typed: str = "") -> str:
    """What a command that must fail says, in sentences."""
    result = run(*arguments, typed=typed)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.stderr
    return result.stderr


def create_organisation(**changes: str) -> list[str]:
    given = {**ORGANISATION, **{f"--{name.replace('_', '-')}": value for name, value in changes.items()}}
    return ["create-organisation", *(part for pair in given.items() for part in pair)]


def last_audited(action: str) -> AuditRecord:
    with transaction() as session:
        query = select(AuditRecord).where(AuditRecord.action == action).order_by(AuditRecord.id.desc()).limit(1)
        return session.scalars(query).one()


# Every command


def test_help_needs_no_environment_and_says_where_to_find_one() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "coordinator", "--help"], cwd=ROOT, env=BARE, capture_output=True, text=True, check=True
    )
    assert ". var/run/environment" in shown.stdout
    assert all(name in shown.stdout for name in main.commands)


def test_every_command_and_option_explains_itself() -> None:
    for name, command in main.commands.items():
        assert command.help, name
        assert ok(name, "-h")


def test_all_that_is_missing_of_the_environment_is_named_at_once() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "coordinator", "verify-audit"],
        cwd=ROOT,
        env={**BARE, "COORDINATOR_ENV": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 1
    assert shown.stderr.startswith("Error: These environment variables are missing: DATABASE_URL, REDIS_URL")
    assert "Traceback" not in shown.stderr


def test_a_database_that_is_away_is_said_in_a_sentence_without_its_password(service: Service) -> None:
    with service_with(DATABASE_URL="postgresql+psycopg://clinic:hunter2@127.0.0.1:1/clinic"):
        said = refused("list-dead-letters")
    assert "The database does not answer" in said
    assert "hunter2" not in said


def test_a_database_that_was_never_migrated_is_said_in_a_sentence(service: Service, servers: Servers) -> None:
    name = f"empty_{new_id().hex}"
    servers.postgres.create_database(name)
    with service_with(DATABASE_URL=servers.postgres.url_of(name)):
        said = refused("list-dead-letters")
    servers.postgres.drop_database(name)
    assert "upgrade head" in said


# Organisations, accounts, tokens


def test_an_organisation_is_created_and_its_id_printed(service: Service) -> None:
    word, organisation_id = ok(*create_organisation()).split()
    with transaction() as session:
        made = session.get_one(Organisation, UUID(organisation_id))
    assert (word, made.kind, made.phone, made.zone) == (
        "organisation",
        "operations",
        "+14155550100",
        "America/Los_Angeles",
    )


def test_a_practice_names_its_partners(service: Service) -> None:
    team = ok(*create_organisation(kind="medical_team"), "--operates-in", "CA", "--operates-in", "NY").split()[1]
    pharmacy = ok(*create_organisation(kind="pharmacy")).split()[1]
    practice = ok(*create_organisation(kind="practice", medical_team=team, pharmacy=pharmacy)).split()[1]
    with transaction() as session:
        made = session.get_one(Organisation, UUID(practice))
        assert session.get_one(Organisation, UUID(team)).states_of_operation == ["CA", "NY"]
    assert (str(made.partner_medical_team_id), str(made.partner_pharmacy_id)) == (team, pharmacy)
    assert refused(*create_organisation(kind="practice", pharmacy=team)).startswith("Error: --partner-pharmacy-id: ")


@pytest.mark.parametrize(
    ("changes", "option"), [({"state": "ZZ"}, "--state"), ({"phone": "none"}, "--phone"), ({"name": " "}, "--name")]
)
def test_what_does_not_fit_an_organisation_names_the_option(
    service: Service, changes: dict[str, str], option: str
) -> None:
    assert refused(*create_organisation(**changes)).startswith(f"Error: {option}: ")


def typed_for_account(email: str, phone: str = "(415) 555-0100", password: str = PASSPHRASE) -> str:
    return "\n".join((email, "Odell Overton", phone, password, password, ""))


def make_desk() -> UUID:
    return UUID(ok(*create_organisation()).split()[1])


def test_an_account_is_created_with_a_password_that_is_asked_for_and_can_sign_in(service: Service) -> None:
    result = run(
        "create-account",
        "--organisation",
        make_desk(),
        "--role",
        "operations",
        "--on-call",
        typed=typed_for_account("odell@example.com"),
    )
    assert result.exit_code == 0, result.output
    printed = dict(line.split(" ", 1) for line in result.stdout.splitlines() if line.startswith(("acc", "auth")))
    assert PASSPHRASE not in result.output
    code = pyotp.parse_uri(printed["authenticator"]).at(clock.now())  # type: ignore[attr-defined]  # a TOTP
    with transaction() as session:
        attempt = sign_in.attempt_sign_in(session, Personal("odell@example.com"), Secret(PASSPHRASE), Secret(code))
        account = session.get_one(Account, UUID(printed["account"]))
        assert account.on_call
        assert attempt.require().actor.id == account.id


def test_no_option_takes_a_password(service: Service) -> None:
    assert not any("password" in option for option in _options("create-account"))
    result = run("create-account", "--password", PASSPHRASE)
    assert result.exit_code == 2


def _options(command: str) -> list[str]:
    return [option for parameter in main.commands[command].params for option in parameter.opts]


def test_a_password_typed_differently_is_asked_for_again(service: Service) -> None:
    typed = "\n".join(("two@example.com", "Two Tries", "", "one", "other", PASSPHRASE, PASSPHRASE, ""))
    assert "account" in ok("create-account", "--organisation", make_desk(), "--role", "operations", typed=typed)


@pytest.mark.parametrize(
    ("email", "phone", "password", "said"),
    [
        ("no address", "", PASSPHRASE, "--email: "),
        ("a@example.com", "12", PASSPHRASE, "--phone: "),
        ("a@example.com", "", "short", "--password: "),
    ],
)
def test_what_does_not_fit_an_account_names_the_option(
    service: Service, email: str, phone: str, password: str, said: str
) -> None:
    typed = typed_for_account(email, phone, password)
    assert said in refused("create-account", "--organisation", make_desk(), "--role", "operations", typed=typed)


def test_an_address_has_one_account_and_an_organisation_its_own_roles(service: Service) -> None:
    desk, typed = make_desk(), typed_for_account("once@example.com")
    ok("create-account", "--organisation", desk, "--role", "operations", typed=typed)
    again = refused("create-account", "--organisation", desk, "--role", "operations", typed=typed)
    assert "already has an account" in again
    misplaced = refused(
        "create-account", "--organisation", desk, "--role", "therapist", typed=typed_for_account("b@example.com")
    )
    assert "--organisation-id: " in misplaced
    assert run("create-account", "--organisation", desk, "--role", "patient").exit_code == 2


def account_id(service: Service) -> UUID:
    with transaction() as session:
        return make_account(session, Role.OPERATIONS).id


def token_in(printed: str) -> str:
    return next(line.removeprefix("token ") for line in printed.splitlines() if line.startswith("token "))


def test_a_token_is_issued_and_works(service: Service) -> None:
    holder = account_id(service)
    token = token_in(ok("issue-token", "--account", holder))
    with transaction() as session:
        known = tokens.actor_of(session, token)
    assert (known.actor.id, known.scopes) == (holder, {"api"})


def test_a_token_may_be_for_looking_only_and_live_for_days(service: Service) -> None:
    printed = ok("issue-token", "--account", account_id(service), "--read-only", "--days", 30, "--label", "Reports")
    with transaction() as session:
        known = tokens.actor_of(session, token_in(printed))
        row = session.get_one(tokens.Token, known.token_id)
    assert (known.scopes, row.label, (row.expires_at - row.created_at).days) == ({"read"}, "Reports", 30)


def test_no_token_is_issued_for_nobody_or_for_too_long(service: Service) -> None:
    assert "Error: " in refused("issue-token", "--account", new_id())
    assert "--lifetime: " in refused("issue-token", "--account", account_id(service), "--days", 365)
    with transaction() as session, pytest.raises(NotSignedIn):
        tokens.actor_of(session, "made up")


# Keys


def test_created_keys_are_complete_private_and_fit_for_production(service: Service, tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    assert str(directory) in ok("create-keys", directory)
    assert {file.name for file in directory.iterdir()} == {file.name for file in service.keys.iterdir()} - {"GENERATED"}
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in directory.iterdir())
    ready = {
        **service.settings,
        "COORDINATOR_ENV": "production",
        "COORDINATOR_KEYRING": str(directory),
        "COORDINATOR_LIGHT_PASSWORDS": "",
        "PUBLIC_BASE_URL": "https://clinic.example",
        "TWILIO_API_BASE": "",
        "EASYPOST_API_BASE": "",
    }
    assert read_config(ready).is_production


@pytest.mark.parametrize("file", ["vault.json", "party-pharmacy.json"])
def test_keys_are_never_created_over_others(service: Service, tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text("precious")
    assert "never overwritten" in refused("create-keys", tmp_path)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [(file, "precious")]


def wrapped_by() -> set[str]:
    with transaction() as session:
        return set(session.scalars(select(DataKey.wrapping_key)))


def active_keys(service: Service) -> set[str]:
    files = ("vault.json", "psychotherapy_notes.json")
    return {json.loads((service.keys / file).read_bytes())["record"]["active"] for file in files}


def assert_readable(everything: Everything) -> None:
    boxes.forget_boxes()
    with transaction() as session:
        patient = session.get_one(Patient, everything.episode.patient_id)
        assert box(session, patient.id).open(patient, "full_name").reveal().startswith("Pat Example")


def test_keys_are_rotated(service: Service, everything: Everything) -> None:
    before = active_keys(service)
    printed = ok("rotate-keys", "--no-wait", typed="y\n")
    assert f"Add new keys to {service.keys}" in printed
    assert not active_keys(service) & before
    assert wrapped_by() == active_keys(service)
    assert "values sealed anew: " in printed
    assert_readable(everything)
    assert last_audited("keys.rotate").detail == {"resealed": True, "unreadable": 0}
    assert last_audited("keys.renew").actor_id == SYSTEM.id


def test_rotating_asks_first_and_no_means_no(service: Service) -> None:
    before = active_keys(service)
    result = run("rotate-keys", "--no-wait", typed="n\n")
    assert (result.exit_code, active_keys(service)) == (1, before)
    assert "Aborted!" in result.stderr


def test_data_keys_can_be_rewrapped_without_touching_values(service: Service, everything: Everything) -> None:
    with transaction() as session:
        number = session.scalar(select(func.count()).select_from(DataKey))
    printed = ok("rotate-keys", "--no-reseal", "--yes")
    assert "sealed anew" not in printed
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(DataKey)) == number
    assert wrapped_by() == active_keys(service)
    assert_readable(everything)


def test_keys_prepared_for_several_machines_are_taken_up_by_the_next_rotation(
    service: Service, everything: Everything
) -> None:
    before = active_keys(service)
    prepared = {line.split()[2] for line in ok("rotate-keys", "--prepare", "--yes").splitlines() if ": key " in line}
    assert (len(prepared), active_keys(service), wrapped_by()) == (2, before, before)
    ok("rotate-keys", "--yes", "--no-wait")
    assert active_keys(service) == wrapped_by() == prepared
    ok("rotate-keys", "--no-new-keys", "--no-wait")
    assert active_keys(service) == prepared


def heed_interrupts() -> None:
    """A shell lets what it starts in the background ignore Ctrl-C, and so everything that is started from there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_rotation_cut_short_while_it_waits_is_completed_without_new_keys(
    service: Service, everything: Everything
) -> None:
    """The waiting is for processes that seal with the data keys they remember."""
    command = [sys.executable, "-m", "coordinator", "rotate-keys", "--yes"]
    with subprocess.Popen(
        command, cwd=ROOT, env=service.settings, stdout=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    ) as rotation:
        assert rotation.stdout is not None
        printed = []
        for line in rotation.stdout:
            printed.append(line)
            if line.startswith("waiting 60 seconds"):
                rotation.send_signal(signal.SIGINT)
        assert rotation.wait(60) == 1
    assert not [line for line in printed if "sealed anew" in line]
    active = active_keys(service)
    assert_readable(everything)
    moved = ok("rotate-keys", "--no-new-keys", "--no-wait")
    assert int(moved.split("values sealed anew: ")[1].split()[0]) > 0
    assert active_keys(service) == active == wrapped_by()
    assert_readable(everything)


def test_a_terminal_is_shown_the_progress(service: Service, everything: Everything) -> None:
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "coordinator", "rotate-keys", "--no-new-keys", "--no-wait"]
    # Something to do: a key whose values are still to be moved.
    keyring.renew_key(service.keys / "vault.json", "record")
    rotation = subprocess.run(command, cwd=ROOT, env=service.settings, stdout=subprocess.PIPE, stderr=end, check=True)
    os.close(end)
    shown = os.read(terminal, 100_000).decode()
    os.close(terminal)
    assert "\r\x1b[Krecord: data keys renewed: " in shown
    assert b"\r" not in rotation.stdout
    assert "\r" not in run("rotate-keys", "--no-new-keys", "--no-wait").output


def test_keys_are_not_rotated_where_some_are_missing(service: Service, tmp_path: Path) -> None:
    partial = own_keys({"COORDINATOR_KEYRING": str(service.keys)}, tmp_path)
    (partial / "party-pharmacy.json").unlink()
    before = {file.name: file.read_bytes() for file in partial.iterdir()}
    with service_with(COORDINATOR_KEYRING=str(partial)):
        assert "party-pharmacy.json" in refused("rotate-keys", "--yes", "--no-wait")
    assert {file.name: file.read_bytes() for file in partial.iterdir()} == before


def test_a_value_that_does_not_open_is_named_and_the_rotation_fails(service: Service, everything: Everything) -> None:
    patient_id = everything.ids["patient_id"][1]
    with transaction() as session:
        whole = session.get_one(Patient, patient_id).full_name
        session.execute(text("UPDATE patients SET full_name = 'spoilt' WHERE id = :id"), {"id": patient_id})
    said = refused("rotate-keys", "--no-new-keys", "--no-wait")
    with transaction() as session:
        session.execute(text("UPDATE patients SET full_name = :w WHERE id = :id"), {"id": patient_id, "w": whole})
    assert f"patients.full_name of {patient_id} does not open" in said
    assert "Error: 1 value(s) do not open" in said


# Audit


def test_a_whole_trail_is_verified_and_its_ends_signed(service: Service) -> None:
    account_id(service)
    lines = service.heads.read_text().count("\n") if service.heads.exists() else 0
    assert ok("verify-audit") == "The audit trail is whole.\n"
    assert service.heads.read_text().count("\n") == lines + 1
    assert ok("verify-audit") == "The audit trail is whole.\n"


def test_damage_is_named_and_ends_in_exit_code_1(service: Service) -> None:
    account_id(service)
    with transaction() as session:
        session.execute(text("ALTER TABLE audit_records DISABLE TRIGGER ALL"))
        broken = session.execute(text("SELECT chain, sequence FROM audit_records ORDER BY id DESC LIMIT 1")).one()
        place = {"chain": broken.chain, "sequence": broken.sequence}
        of_it = "WHERE chain = :chain AND sequence = :sequence"
        session.execute(text(f"UPDATE audit_records SET action = action || '!' {of_it}"), place)
    result = run("verify-audit")
    with transaction() as session:
        session.execute(text(f"UPDATE audit_records SET action = rtrim(action, '!') {of_it}"), place)
        session.execute(text("ALTER TABLE audit_records ENABLE TRIGGER ALL"))
    assert result.exit_code == 1
    assert f"chain {broken.chain}, record {broken.sequence}: a record was changed" in result.stdout
    assert "Error: The audit trail is damaged in 1 place(s)." in result.stderr
    ok("verify-audit")


@pytest.mark.parametrize("line", ['{"at": "2026', "null", '{"at": "now", "heads": {}, "signature": "zz"}', "\udcff"])
def test_a_line_of_the_heads_file_that_cannot_be_read_is_damage(service: Service, line: str) -> None:
    ok("verify-audit")
    before = service.heads.read_bytes()
    service.heads.write_bytes(before + line.encode("utf-8", "surrogateescape") + b"\n")
    result = run("verify-audit")
    service.heads.write_bytes(before)
    assert result.exit_code == 1
    assert "a signed head whose signature is wrong" in result.stdout
    assert isinstance(result.exception, SystemExit)


# Dead letters


def bury(service: Service) -> UUID:
    """An event that died of too many failures."""
    with transaction() as session:
        (event_id,) = outbox.emit(
            session, outbox.EventKind.FILL_RECORDED, subject=outbox.Subject("fill", new_id()), to=[Party.PHARMACY]
        )
        letter = outbox.bury(session, session.get_one(Event, event_id), "failed_too_often")
        return letter.id


def test_dead_letters_are_listed_and_given_another_life(service: Service) -> None:
    letter_id = bury(service)
    (line,) = [line for line in ok("list-dead-letters").splitlines() if str(letter_id) in line]
    assert line.split()[3:] == ["pharmacy", "fill.recorded", "failed_too_often", "waiting"]
    assert "relayed again" in ok("replay-dead-letter", letter_id)
    assert str(letter_id) not in ok("list-dead-letters")
    (line,) = [line for line in ok("list-dead-letters", "--all").splitlines() if str(letter_id) in line]
    assert line.endswith("replayed")
    with transaction() as session:
        event = session.get_one(Event, session.get_one(DeadLetter, letter_id).event_id)
        assert (event.acknowledged_at, event.outcome, event.failures) == (None, None, 0)
        due = outbox.take_due(session, 1000, timedelta(seconds=programme().number("relay.acknowledge_within_seconds")))
        assert event.id in {row.id for row in due}
    assert last_audited("dead_letter.replay").subject_id == letter_id


def test_a_dead_letter_lives_again_only_once(service: Service) -> None:
    letter_id = bury(service)
    ok("replay-dead-letter", letter_id)
    assert "already replayed" in refused("replay-dead-letter", letter_id)
    assert "no such dead letter" in refused("replay-dead-letter", new_id())
    assert run("replay-dead-letter", "nonsense").exit_code == 2


# Export


def test_a_patients_data_is_written_opened_to_a_file_for_its_owner_only(
    service: Service, everything: Everything, tmp_path: Path
) -> None:
    path = tmp_path / "export.json"
    printed = ok("export-patient", everything.episode.patient_id, "--to", path)
    assert str(path) in printed
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    records = json.loads(path.read_text(encoding="utf-8"))["records"]
    (patient,) = records["patients"]
    assert patient["full_name"].startswith("Pat Example")
    assert (patient["birth_date"], patient["mobile"]) == ("1985-06-15", "+14155550177")
    assert records["prescriptions"][0]["content"]["drug"] == "ketamine"
    assert {reading["reading"]["systolic"] for reading in records["vitals"]} == {120}
    assert records["adverse_events"][0]["content"]["description"] == "Nausea."
    assert [each["text"] for each in records["texts_received"]] == ["my dog ate it"]
    assert last_audited("patient.export").subject_id == everything.episode.patient_id


def test_an_export_never_holds_psychotherapy_notes_nor_that_there_are_any(
    service: Service, everything: Everything, tmp_path: Path
) -> None:
    patient_id, path = everything.episode.patient_id, tmp_path / "export.json"
    with transaction() as session:
        note = session.scalars(select(PsychotherapyNote).where(PsychotherapyNote.patient_id == patient_id)).one()
    ok("export-patient", patient_id, "--to", path)
    exported = path.read_text(encoding="utf-8")
    assert "Dreamt of water" not in exported
    assert "psychotherapy_note" not in exported
    assert str(note.id) not in exported


def test_an_export_never_overwrites_a_file(service: Service, everything: Everything, tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_text("precious")
    with transaction() as session:
        before = session.scalar(select(func.count()).where(AuditRecord.action == "patient.export"))
    assert "File exists" in refused("export-patient", everything.episode.patient_id, "--to", path)
    assert path.read_text() == "precious"
    with transaction() as session:
        assert session.scalar(select(func.count()).where(AuditRecord.action == "patient.export")) == before


def test_an_export_that_fails_leaves_no_file(service: Service, tmp_path: Path) -> None:
    assert "no such patient" in refused("export-patient", new_id(), "--to", tmp_path / "export.json")
    assert "No such file" in refused("export-patient", new_id(), "--to", tmp_path / "nowhere" / "export.json")
    assert list(tmp_path.iterdir()) == []

"""The key files: how keys are added, prepared and taken up, and how running processes notice."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from services.core.errors import InvalidConfiguration, Unavailable
from services.core.ids import new_id
from services.core.vocabulary import EventKind, Party
from services.vault import envelopes, keyring
from tests.own_services import own_keys, service_with

VAULTS = ("vault.json", "psychotherapy_notes.json")


@pytest.fixture
def keys(environment: Mapping[str, str], tmp_path: Path) -> Iterator[Path]:
    """A keyring of this test's own, which this process works with."""
    directory = own_keys(environment, tmp_path)
    with service_with(COORDINATOR_KEYRING=str(directory)):
        yield directory


def kept(keys: Path, file: str = "vault.json") -> dict[str, Any]:
    """A key set as it stands on disk."""
    key_set: dict[str, Any] = json.loads((keys / file).read_bytes())["record"]
    return key_set


def renew_all(keys: Path) -> None:
    for file in VAULTS:
        keyring.renew_key(keys / file, "record")
    for party in Party:
        keyring.renew_party_keys(keys, party)


def test_the_older_keys_stay_in_the_keyring_and_only_decrypt(keys: Path) -> None:
    before = {file: kept(keys, file) for file in VAULTS}
    renew_all(keys)
    for file in VAULTS:
        after = kept(keys, file)
        assert after["keys"].items() > before[file]["keys"].items()
        assert after["active"] not in before[file]["keys"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in keys.glob("*.json"))
    assert list(keys.glob("*.new")) == []


def test_envelopes_sealed_before_a_rotation_still_open_and_new_ones_use_the_new_key(keys: Path) -> None:
    sealed = {party: (event := new_id(), *envelopes.seal(party, "kind", event, {"for": party})) for party in Party}
    renew_all(keys)
    for party, (event, name, envelope) in sealed.items():
        assert envelopes.open_envelope(party, "kind", event, name, envelope) == {"for": party}
        newer, again = envelopes.seal(party, EventKind.SMS_UNCLEAR, event, [1])
        assert newer != name
        assert envelopes.open_envelope(party, EventKind.SMS_UNCLEAR, event, newer, again) == [1]


def test_prepared_keys_open_but_do_not_seal_until_a_rotation_takes_them(keys: Path) -> None:
    ring = keyring.keyring()
    before = (ring.record_keys.active, ring.sealing_key(Party.PHARMACY)[0])
    prepared = [keyring.renew_key(keys / file, "record", activate=False) for file in VAULTS]
    pairs = {party: keyring.renew_party_keys(keys, party, activate=False) for party in Party}
    assert (ring.record_keys.active, ring.sealing_key(Party.PHARMACY)[0]) == before
    assert ring.record_keys[prepared[0]]
    assert all(ring.opening_key(party, name) for party, name in pairs.items())
    # Preparing again adds no further key.
    assert keyring.renew_key(keys / "vault.json", "record", activate=False) == prepared[0]
    assert keyring.renew_party_keys(keys, Party.PATIENT, activate=False) == pairs[Party.PATIENT]
    renew_all(keys)
    assert (ring.record_keys.active, ring.psychotherapy_notes_keys.active) == tuple(prepared)
    assert {party: ring.sealing_key(party)[0] for party in Party} == pairs


def test_half_a_prepared_pair_is_never_sealed_to(keys: Path) -> None:
    path = keys / f"party-{Party.PATIENT}.json"
    before = path.read_bytes()
    lost = keyring.renew_party_keys(keys, Party.PATIENT, activate=False)
    path.write_bytes(before)
    name = keyring.renew_party_keys(keys, Party.PATIENT)
    assert name != lost
    assert keyring.keyring().opening_key(Party.PATIENT, name)


def test_keys_reached_through_links_are_changed_where_they_are(keys: Path, tmp_path: Path) -> None:
    """As the processes of one machine are given theirs: a directory of links for each."""
    links = tmp_path / "web"
    links.mkdir()
    for file in keys.glob("*.json"):
        (links / file.name).symlink_to(file)
    name = keyring.renew_key(links / "vault.json", "record")
    assert (links / "vault.json").is_symlink()
    assert kept(keys)["active"] == name


def test_a_changed_key_file_keeps_its_mode(keys: Path) -> None:
    (keys / "vault.json").chmod(0o640)
    keyring.renew_key(keys / "vault.json", "record")
    assert (keys / "vault.json").stat().st_mode & 0o777 == 0o640


def test_two_changes_within_one_tick_of_the_file_system_are_both_noticed(keys: Path) -> None:
    ring, path = keyring.keyring(), keys / "vault.json"
    for _ in range(5):
        name = keyring.renew_key(path, "record")
        os.utime(path, ns=(0, 0))
        assert ring.record_keys.active == name


def test_a_keyring_is_changed_by_one_process_at_a_time(keys: Path) -> None:
    with (
        keyring.changing(keys),
        pytest.raises(Unavailable, match="Another process"),
        keyring.changing(keys),
    ):
        pytest.fail("two at once")
    with keyring.changing(keys):
        pass


def test_keys_are_changed_only_where_all_of_them_are(keys: Path) -> None:
    (keys / f"party-{Party.PHARMACY}.json").unlink()
    with pytest.raises(InvalidConfiguration, match=r"lacks party-pharmacy\.json"), keyring.changing(keys):
        pytest.fail("an incomplete keyring was changed")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"record": {"active": "k", "keys": {}}, "index": ""}', "null"]
)
def test_what_is_no_key_file_is_refused_without_repeating_it(keys: Path, content: str) -> None:
    (keys / "vault.json").write_text(content)
    with pytest.raises(InvalidConfiguration, match=r"vault\.json is no key file|is not in its key set"):
        keyring.keyring().record_keys  # noqa: B018 - reading it is the point

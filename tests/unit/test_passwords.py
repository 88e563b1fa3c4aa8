"""How much effort a password costs: always the product's, unless a test asks for little."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

HASH = "from services.people.passwords import hash_password; print(hash_password('a made-up passphrase'))"


@pytest.mark.parametrize(("light", "cost"), [("", "m=65536,t=3,p=4"), ("1", "m=8,t=1,p=1")])
def test_a_password_is_hashed_with_rfc_9106s_effort_unless_it_is_a_tests(
    environment: Mapping[str, str], light: str, cost: str
) -> None:
    given = {**os.environ, **environment, "COORDINATOR_LIGHT_PASSWORDS": light}
    done = subprocess.run([sys.executable, "-c", HASH], env=given, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"$argon2id$v=19${cost}$")

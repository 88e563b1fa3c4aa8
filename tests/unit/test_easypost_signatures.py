"""EasyPost's webhook signature: the reference's vector, and a plain no to everything else."""

from __future__ import annotations

import unicodedata

import pytest
from easypost.util import validate_webhook
from hypothesis import given
from hypothesis import strategies as st

from services.core.personal import Secret
from services.shipping.signatures import PREFIX, signature_is_valid, signature_of

SECRET = Secret("demo-secret")
BODY = b'{"id":"evt_1","description":"tracker.updated"}'
DIGEST = "208d44c517c84c9e2765b76169227e50ce9a74442e36b15ff1ab8df8ef0722b8"


def test_the_vector_of_the_reference_is_valid() -> None:
    assert signature_is_valid(PREFIX + DIGEST, BODY, SECRET)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        DIGEST,
        PREFIX,
        PREFIX + DIGEST[:-1],
        PREFIX + DIGEST[:-1] + "9",
        PREFIX + DIGEST.upper(),
        PREFIX + DIGEST + " ",
        PREFIX + DIGEST[:-1] + "\xe9",
        PREFIX + DIGEST[:-1] + "\udce9",
        "ümläut",
        "hmac-sha1-hex=" + DIGEST,
    ],
)
def test_any_other_header_is_refused_without_an_error(header: str | None) -> None:
    assert signature_is_valid(header, BODY, SECRET) is False


@pytest.mark.parametrize("body", [b"", BODY + b"\n", BODY.replace(b"evt_1", b"evt_2"), b"\xff\xfe"])
def test_another_body_is_refused(body: bytes) -> None:
    assert signature_is_valid(PREFIX + DIGEST, body, SECRET) is False


def test_another_secret_is_refused_and_an_empty_one_signs_nothing() -> None:
    assert signature_is_valid(PREFIX + DIGEST, BODY, Secret("demo-secret2")) is False
    assert signature_is_valid(signature_of(BODY, Secret("")), BODY, Secret("")) is False


def test_a_secret_counts_the_same_in_either_unicode_form() -> None:
    composed, decomposed = unicodedata.normalize("NFC", "clé-ﬁ"), unicodedata.normalize("NFD", "clé-ﬁ")
    assert composed != decomposed
    assert signature_is_valid(signature_of(BODY, Secret(composed)), BODY, Secret(decomposed))


@given(secret=st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1), number=st.integers())
def test_easyposts_own_check_agrees(secret: str, number: int) -> None:
    body = b'{"number": %d}' % number
    headers = {"X-Hmac-Signature": signature_of(body, Secret(secret))}
    assert validate_webhook(body, headers, secret) == {"number": number}
    assert signature_is_valid(headers["X-Hmac-Signature"], body, Secret(secret))


@given(header=st.text(), body=st.binary(), secret=st.text())
def test_nothing_a_stranger_sends_raises(header: str, body: bytes, secret: str) -> None:
    assert signature_is_valid(header, body, Secret(secret)) is False

"""Twilio's signature: the reference vector, every way to get it wrong, and never an error (DOMAIN 7)."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from services.core.personal import Secret
from services.messaging.signatures import valid_twilio_json_signature, valid_twilio_signature

TOKEN = Secret("12345")
URL = "https://example.com/webhooks/twilio/sms"
FORM = {"Body": ["STOP"], "From": ["+14155550100"], "MessageSid": ["SM1"]}
SIGNATURE = "wfwHJRU6dm2DT0CkdRlBxDHMirc="


def test_the_reference_vector_is_valid() -> None:
    assert valid_twilio_signature(TOKEN, URL, FORM, SIGNATURE)


def test_the_order_of_the_fields_does_not_matter() -> None:
    assert valid_twilio_signature(TOKEN, URL, dict(reversed(FORM.items())), SIGNATURE)


def test_a_form_of_plain_texts_is_read_as_one_value_each() -> None:
    assert valid_twilio_signature(TOKEN, URL, {name: values[0] for name, values in FORM.items()}, SIGNATURE)


@pytest.mark.parametrize(
    ("token", "url", "form"),
    [
        (Secret("12346"), URL, FORM),
        (Secret(""), URL, FORM),
        (TOKEN, URL + "?a=1", FORM),
        (TOKEN, URL.replace("https", "http"), FORM),
        (TOKEN, URL, {**FORM, "Body": ["START"]}),
        (TOKEN, URL, {**FORM, "Extra": ["1"]}),
        (TOKEN, URL, {"Body": ["STOP"], "From": ["+14155550100"]}),
        (TOKEN, URL, {}),
    ],
)
def test_another_token_address_or_form_is_not_valid(token: Secret[str], url: str, form: dict[str, list[str]]) -> None:
    assert not valid_twilio_signature(token, url, form, SIGNATURE)


@pytest.mark.parametrize(
    "signature",
    [None, "", "x", "wfwHJRU6dm2DT0CkdRlBxDHMirc", SIGNATURE + "=", SIGNATURE.lower(), "é" * 28, "\ud800", "\0"],
)
def test_a_missing_or_odd_signature_is_not_valid(signature: str | None) -> None:
    assert not valid_twilio_signature(TOKEN, URL, FORM, signature)


@pytest.mark.parametrize("values", [["STOP", "STOP"], ["STOP", "START"], []])
def test_a_repeated_or_empty_parameter_is_not_valid(values: list[str]) -> None:
    assert not valid_twilio_signature(TOKEN, URL, {**FORM, "Body": values}, SIGNATURE)


@pytest.mark.parametrize("url", ["", "https://example.com:port/x", "https://[::1", "\ud800"])
def test_an_unreadable_address_or_field_is_not_valid(url: str) -> None:
    assert not valid_twilio_signature(TOKEN, url, FORM, SIGNATURE)
    assert not valid_twilio_json_signature(TOKEN, url, b"{}", SIGNATURE)
    assert not valid_twilio_signature(TOKEN, URL, {"Body": [url + "\ud800"]}, SIGNATURE)


def test_without_a_token_nothing_is_valid_not_even_what_was_signed_without_one() -> None:
    unsigned = RequestValidator("").compute_signature(URL, {"Body": "STOP"})
    assert not valid_twilio_signature(Secret(""), URL, {"Body": ["STOP"]}, unsigned)


def signed(url: str, form: dict[str, str] | None = None) -> str:
    return str(RequestValidator(TOKEN.reveal()).compute_signature(url, form or {}))


@pytest.mark.parametrize(
    ("called", "signed_url"),
    [
        ("https://example.com/hook", "https://example.com:443/hook"),
        ("https://example.com:443/hook", "https://example.com/hook"),
        ("https://example.com:8443/hook?a=b", "https://example.com/hook?a=b"),
        ("http://example.com/hook", "http://example.com:80/hook"),
        ("http://[::1]:8000/hook", "http://[::1]:8000/hook"),
    ],
)
def test_the_address_may_be_signed_with_or_without_its_port(called: str, signed_url: str) -> None:
    assert valid_twilio_signature(TOKEN, called, {"Body": ["hi"]}, signed(signed_url, {"Body": "hi"}))


@given(
    st.dictionaries(
        st.text("abcXYZ09_", min_size=1, max_size=8), st.text(max_size=20).filter(str.isprintable), max_size=6
    )
)
def test_what_twilios_own_library_signs_is_valid(form: dict[str, str]) -> None:
    lists = {name: [value] for name, value in form.items()}
    assert valid_twilio_signature(TOKEN, URL, lists, signed(URL, form))
    assert not valid_twilio_signature(TOKEN, URL, {**lists, "more": ["1"]}, signed(URL, form))


BODY = b'{"status":"delivered"}'
JSON_URL = f"{URL}?bodySHA256={hashlib.sha256(BODY).hexdigest()}"


def test_a_json_body_vouched_for_by_its_digest_is_valid() -> None:
    assert valid_twilio_json_signature(TOKEN, JSON_URL, BODY, signed(JSON_URL))


def test_another_body_under_the_same_signature_is_not_valid() -> None:
    assert not valid_twilio_json_signature(TOKEN, JSON_URL, BODY + b" ", signed(JSON_URL))


@pytest.mark.parametrize("query", ["", "?bodySHA256=", "?bodySHA256=\u00e9", "?bodySHA256=a&bodySHA256=b", "?other=1"])
def test_a_body_without_its_digest_is_not_valid_however_well_signed(query: str) -> None:
    assert not valid_twilio_json_signature(TOKEN, URL + query, BODY, signed(URL + query))


def test_a_second_digest_beside_the_right_one_is_not_valid() -> None:
    url = JSON_URL + "&bodySHA256=" + "0" * 64
    assert not valid_twilio_json_signature(TOKEN, url, BODY, signed(url))


def test_a_json_body_with_a_wrong_or_missing_signature_is_not_valid() -> None:
    assert not valid_twilio_json_signature(TOKEN, JSON_URL, BODY, SIGNATURE)
    assert not valid_twilio_json_signature(TOKEN, JSON_URL, BODY, None)

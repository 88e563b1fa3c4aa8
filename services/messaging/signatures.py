"""Whether a webhook really comes from Twilio: its signature, checked without ever raising (DOMAIN 7).

The check is our own. ``twilio.request_validator`` computes the same value (a test compares the two), but its
``validate`` raises TypeError when the header is missing or a JSON body comes without ``bodySHA256``, compares in a
Python loop after comparing lengths, and folds repeated parameters together, so that two different requests share a
signature. An attacker must get a refusal, not an error, and repeated parameters are never sent by Twilio.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import parse_qs, urlsplit, urlunsplit

from services.core.personal import Secret

DEFAULT_PORTS = {"https": 443, "http": 80}


def valid_twilio_signature(
    token: Secret[str], url: str, form: Mapping[str, Sequence[str]], signature: str | None
) -> bool:
    """Whether ``signature`` (the X-Twilio-Signature header) fits a form post.

    ``url`` is the full public address that Twilio was given, with its query; ``form`` holds every value of every
    field. It is base64(HMAC-SHA1(token, url + sorted key+value)), compared in constant time. A missing or odd
    signature, a repeated or empty-listed parameter, an empty token or an unreadable URL is simply not valid.
    """
    fields = []
    for name in sorted(form):
        values = [form[name]] if isinstance(form[name], str) else list(form[name])
        if len(values) != 1:
            return False
        fields.append(f"{name}{values[0]}")
    return _signed(token, url, "".join(fields), signature)


def valid_twilio_json_signature(token: Secret[str], url: str, body: bytes, signature: str | None) -> bool:
    """Whether ``signature`` fits a post whose body is not a form.

    Twilio then signs the URL alone, whose query carries ``bodySHA256``, the hex digest of ``body``; without exactly
    one such value, or with another, the body is not vouched for and this is false.
    """
    try:
        digests = parse_qs(urlsplit(url).query, keep_blank_values=True).get("bodySHA256", [])
        vouched = len(digests) == 1 and _same(hashlib.sha256(body).hexdigest(), digests[0])
    except ValueError:
        return False
    return _signed(token, url, "", signature) and vouched


def _signed(token: Secret[str], url: str, fields: str, signature: str | None) -> bool:
    if not signature or not token.reveal():
        return False
    try:
        key = token.reveal().encode()
        # Every variant is compared, so that the time taken says nothing about which one fitted.
        fits = [
            _same(b64encode(hmac.new(key, (variant + fields).encode(), hashlib.sha1).digest()).decode(), signature)
            for variant in _variants(url)
        ]
    except ValueError:  # a lone surrogate in a field, or a port that is no number
        return False
    return any(fits)


def _variants(url: str) -> Iterator[str]:
    """The URL as given, with its port spelled out, and without: Twilio signs either, depending on the product."""
    yield url
    parts = urlsplit(url)
    host = parts.netloc
    if parts.port is None and parts.scheme in DEFAULT_PORTS:
        yield urlunsplit(parts._replace(netloc=f"{host.removesuffix(':')}:{DEFAULT_PORTS[parts.scheme]}"))
    elif parts.port is not None:
        yield urlunsplit(parts._replace(netloc=host.rpartition(":")[0]))


def _same(mine: str, theirs: str) -> bool:
    # As bytes: compare_digest refuses text outside ASCII with a TypeError.
    return hmac.compare_digest(mine.encode(), theirs.encode("utf-8", "surrogatepass"))

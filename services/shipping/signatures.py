"""EasyPost's webhook signature (DOMAIN 8). Checked before anything else of a webhook is believed."""

from __future__ import annotations

import hashlib
import hmac
import unicodedata

from services.core.personal import Secret

PREFIX = "hmac-sha256-hex="


def signature_of(body: bytes, secret: Secret[str]) -> str:
    """The ``X-Hmac-Signature`` of a raw body, under the NFKD-normalised secret."""
    key = unicodedata.normalize("NFKD", secret.reveal()).encode("utf-8", "surrogatepass")
    return PREFIX + hmac.new(key, body, hashlib.sha256).hexdigest()


def signature_is_valid(header: str | None, body: bytes, secret: Secret[str]) -> bool:
    """Whether ``header`` is the signature of ``body``. Constant in time, and never an error: a stranger gets a no.

    EasyPost's own check raises ``TypeError`` on a header that is not ASCII, because it compares texts; here bytes are
    compared. An empty secret signs nothing: with it everything is refused.
    """
    if not header or not secret.reveal():
        return False
    return hmac.compare_digest(signature_of(body, secret).encode(), header.encode("utf-8", "surrogatepass"))

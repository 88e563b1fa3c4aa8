"""The second factor: time-based one-time codes of an authenticator (RFC 6238). A used code never works twice."""

from __future__ import annotations

import hmac
from datetime import datetime

import pyotp

from services.core.personal import Personal, Secret
from services.people.settings import settings

ISSUER = "Coordinator"
STEP_SECONDS = 30


def new_totp_secret() -> Secret[str]:
    """A fresh shared secret: 160 random bits in base 32."""
    return Secret(pyotp.random_base32())


def enrolment_address(secret: Secret[str], email: Personal[str]) -> Secret[str]:
    """The ``otpauth://`` address that an authenticator reads as a QR code. Shown to its holder once."""
    return Secret(pyotp.TOTP(secret.reveal()).provisioning_uri(name=email.reveal(), issuer_name=ISSUER))


def step_of(moment: datetime) -> int:
    """The number of the 30-second step that ``moment`` lies in."""
    return int(moment.timestamp()) // STEP_SECONDS


def matching_step(secret: Secret[str], code: str, last_used_step: int, moment: datetime) -> int | None:
    """The step whose code was given; None when it is wrong, too old, or not newer than the last one used.

    An authenticator's clock may be ``sign_in.code_steps_apart`` steps off. All steps are compared, in constant time.
    """
    totp, apart, present = pyotp.TOTP(secret.reveal()), settings().whole("sign_in.code_steps_apart"), step_of(moment)
    found = None
    for step in range(present - apart, present + apart + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()) and step > last_used_step:
            found = step
    return found

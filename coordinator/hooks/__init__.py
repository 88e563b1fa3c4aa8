"""Webhooks of Twilio and EasyPost: signature first, the delivery stored sealed, answered at once; a worker reads it.

No bearer token and no idempotency key here: the signature proves who posts, the provider's own id tells a repeat.
"""

from typing import Final

from flask import Blueprint

from coordinator.hooks import easypost, twilio

HOOKS: Final[tuple[Blueprint, ...]] = (twilio.blueprint, easypost.blueprint)

"""The bearer token of a request."""

from __future__ import annotations

from flask import g, request
from sqlalchemy.orm import Session

from services.core.actors import Actor
from services.core.errors import NotAllowed, NotSignedIn
from services.people import tokens


def authenticate(session: Session, *, is_read: bool) -> Actor:
    """The actor behind the request's token. Raises ``NotSignedIn``, or ``NotAllowed`` for too narrow a scope."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotSignedIn("Send a bearer token: sign in first, or open your personal link.")
    caller = tokens.actor_of(session, token.strip())
    if not tokens.scope_allows(caller.scopes, is_read=is_read):
        raise NotAllowed("This token may only read.", rule="access.scope")
    g.token_id = caller.token_id
    return caller.actor

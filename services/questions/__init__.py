"""Questions that patients text in: routed to whoever can answer, answered by text or behind a link (DOMAIN 1, 7)."""

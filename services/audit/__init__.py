"""The audit trail: append-only, hash-chained, with signed heads; see ``chains.py`` for how it holds together."""

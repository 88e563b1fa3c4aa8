"""Outcomes: what the therapist reports after sessions, and the psychotherapy notes that stay apart from the record."""

"""Journals: prompts before and after a session, and what a patient writes, which is theirs alone until shared."""

"""Matching: a patient without a therapist is proposed some, chooses, and the therapist accepts (DOMAIN 1)."""

"""Prescriptions: drafted by staff, signed by the named prescriber with two factors, filled by the pharmacy."""

"""Preparation, dosing and integration sessions: readiness, vitals gates, doses, discharge, adverse events."""

"""Refill requests: the gate over everything before, and the prescriber's decision."""

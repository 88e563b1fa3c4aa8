"""Parcels: shipped to the patient's home, followed through the carrier, received by the patient."""

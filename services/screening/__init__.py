"""What the patient answers: instruments and history as data, scoring, and suicide-risk triage."""

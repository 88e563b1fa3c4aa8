"""The Flask service: HTTP in, HTTP out. No rules live here."""

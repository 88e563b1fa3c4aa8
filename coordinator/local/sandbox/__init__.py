"""Stand-ins for Twilio and EasyPost on loopback: the official clients cannot tell the difference.

What is sent stays in memory until the process ends. ``POST /sandbox/…`` controls it; see ``endpoints.py``.
"""

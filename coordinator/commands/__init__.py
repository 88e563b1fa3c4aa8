"""Commands of ``python -m coordinator``, one file per part of the work."""

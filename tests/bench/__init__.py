"""What the service does per second, measured against what this machine can do, in one run: ``make bench``."""

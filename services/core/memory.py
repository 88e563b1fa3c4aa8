"""What a long-running process does about its memory once everything is imported."""

from __future__ import annotations

import gc

# Python looks for garbage after every 700 new objects. A request makes ten times as many and leaves next to none of
# them in cycles: looking took a fifth of its time.
OBJECTS_BETWEEN_LOOKS = 50_000


def settle_memory() -> None:
    """Put what was imported out of the collector's reach, and let it look at the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN_LOOKS)

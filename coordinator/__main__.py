"""``python -m coordinator``: the command line."""

import logging

from coordinator.cli import main
from services.core.logs import configure_logs

if __name__ == "__main__":
    configure_logs(logging.WARNING)
    main(prog_name="python -m coordinator")

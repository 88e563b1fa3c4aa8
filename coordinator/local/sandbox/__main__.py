"""``python -m coordinator.local.sandbox --port N``: serve until SIGTERM."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading

from coordinator.local.sandbox.endpoints import Sandbox
from services.core.errors import InvalidConfiguration


def main() -> int:
    """Serve; 2 when the environment does not allow it."""
    parser = argparse.ArgumentParser(prog="python -m coordinator.local.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="a port on loopback; 0 takes a free one")
    try:
        sandbox = Sandbox(os.environ, parser.parse_args().port)
    except InvalidConfiguration as error:
        print(error.message, file=sys.stderr)
        return 2
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    sandbox.start()
    print(f"sandbox for Twilio and EasyPost on {sandbox.url}", flush=True)
    done.wait()
    sandbox.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

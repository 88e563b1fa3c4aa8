"""``python -m coordinator.local run`` (the service) and ``… demo`` (the service and a story that uses it)."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from coordinator.local.migrations import ROOT
from coordinator.local.stack import Stack
from coordinator.local.story import PRACTICES, Practice, Script, Story, cast_of, found
from services.core.errors import CoordinationError

VAR = ROOT / "var"
_PYTHON = Path(sys.executable)


class Stopped(BaseException):
    """Somebody asked this process to end; like KeyboardInterrupt, not to be swallowed on the way."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command until Ctrl-C or SIGTERM: 0 when all went well, 2 on refusal, else the story's code."""
    parser = argparse.ArgumentParser(prog="python -m coordinator.local", description=__doc__)
    parser.add_argument("--port", type=int, help="the web's port on loopback; default 8000, or a free one")
    parser.add_argument("--directory", type=Path, help="where data, keys and logs live; default var/run or var/demo")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="start the service and stay up")
    demo = commands.add_parser("demo", help="start afresh, tell the story, stay up")
    demo.add_argument("--once", action="store_true", help="end after the story")
    demo.add_argument("--programme", choices=sorted(PRACTICES), help="the own story of one practice")
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        directory = options.directory or VAR / options.command
        stack = Stack(directory, port=options.port, echo=options.command == "run")
        return (
            _run(stack)
            if options.command == "run"
            else _demo(stack, PRACTICES.get(options.programme), once=options.once)
        )
    except CoordinationError as error:
        print(error.message, file=sys.stderr)
        for note in getattr(error, "__notes__", ()):
            print(note, file=sys.stderr)
        return 2
    except Stopped:
        return 0


def _run(stack: Stack) -> int:
    try:
        stack.start()
        _tell_addresses(stack)
        _stay_up()
    finally:
        _stop_undisturbed(stack)


def _demo(stack: Stack, practice: Practice | None, *, once: bool) -> int:
    try:
        stack.clear()
        cast = cast_of(Script()) if practice is None else practice.cast(practice.script())
        organisations = None if practice is None else practice.organisations()
        stack.start(meanwhile=lambda environment: found(cast, environment, organisations))
        story = Story(stack.environment, cast=cast, practice=practice)
        outcome = story.tell()
        if outcome != 0:
            _tell_ended(stack)
        if once or outcome != 0:
            return outcome
        _tell_addresses(stack)
        story.stay_up()
    finally:
        _stop_undisturbed(stack)


def _tell_addresses(stack: Stack) -> None:
    print(f"\nThe service is up on {stack.url} (API description: {stack.url}/api/v1/openapi.json)")
    if stack.sandbox_url is not None:
        print(f"The sandbox for Twilio and EasyPost is on {stack.sandbox_url} (sent texts: /sandbox/messages)")
    print(
        f"The command line, in another terminal: . {_here(stack.environment_file)} && {_here(_PYTHON)} -m coordinator"
    )
    print(f"Data, keys and logs: {stack.directory}. Ctrl-C ends it.", flush=True)


def _here(path: Path) -> str:
    """A path as a shell in this directory takes it."""
    relative = os.path.relpath(path)
    # Without a slash a shell would look for it elsewhere.
    return shlex.quote(str(path) if relative.startswith("..") else relative if "/" in relative else f"./{relative}")


def _tell_ended(stack: Stack) -> None:
    """Name the programs that ended by themselves: often the reason why something did not happen."""
    ended = stack.supervisor.ended() if stack.supervisor is not None else []
    if ended:
        print(f"Ended by themselves: {', '.join(ended)}; see {stack.directory / 'log'}.", file=sys.stderr)


def _stay_up() -> NoReturn:
    """Wait for a signal, which raises ``Stopped``."""
    while True:
        signal.pause()


def _stop_undisturbed(stack: Stack) -> None:
    """Stop in order even when Ctrl-C is pressed again meanwhile."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    stack.stop()


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped


if __name__ == "__main__":
    raise SystemExit(main())

"""What stands in the logs: events, ids and counts, one JSON object per line; never what somebody typed in."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from coordinator.local.migrations import ROOT

SET_UP = """
import logging, sys
import structlog
from services.core.logs import configure_logs
from services.core.personal import Personal, Secret
from services.core.errors import InvalidConfiguration
configure_logs()
log = structlog.get_logger()
"""


def logged(program: str) -> list[dict[str, Any]]:
    """What a process that runs ``program`` writes to standard error, line by line; nothing else may be there."""
    done = subprocess.run(
        [sys.executable, "-c", SET_UP + program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_an_event_is_one_json_line_with_its_level_and_a_time_in_utc() -> None:
    (line,) = logged("log.info('bag_handled', party='pharmacy', count=3)\nlog.debug('too_small')")
    assert (line["event"], line["level"], line["party"], line["count"]) == ("bag_handled", "info", "pharmacy", 3)
    assert line["timestamp"].endswith("Z")


def test_personal_and_secret_values_never_show_themselves() -> None:
    (line,) = logged(
        "log.warning('mistake', name=Personal('Rosa Diaz'), all=[Secret('hunter2')], x={'y': Personal(7)})"
    )
    assert (line["name"], line["all"], line["x"]) == ("<personal>", ["<secret>"], {"y": "<personal>"})


def test_what_a_library_logs_is_named_by_its_place_without_its_words() -> None:
    (line,) = logged("logging.getLogger('somebody.else').warning('sent to %s', 'Rosa Diaz')")
    assert (line["level"], line["logger"]) == ("warning", "somebody.else")
    assert "Rosa" not in str(line)


@pytest.mark.parametrize("call", ["exception('failed for Rosa')", "error('Rosa', exc_info=True, stack_info=True)"])
def test_the_text_of_an_exception_that_a_library_logs_is_left_out(call: str) -> None:
    (line,) = logged(f"try:\n  raise ValueError('Rosa Diaz')\nexcept ValueError:\n  logging.getLogger('x').{call}")
    assert (line["logger"], line["error"]) == ("x", "ValueError")
    assert "Rosa" not in str(line)


def test_talkative_libraries_are_kept_quiet() -> None:
    program = "for name in ('twilio.http_client', 'urllib3', 'sqlalchemy.engine', 'easypost', 'rq'):\n"
    assert logged(program + "  logging.getLogger(name).warning('to +14155550142')") == []


def test_a_process_that_fails_says_where_and_not_what() -> None:
    (line,) = logged("def fail():\n  raise KeyError('Rosa Diaz')\nfail()")
    assert (line["event"], line["error"], line["reason"]) == ("process_failed", "KeyError", None)
    assert line["place"].startswith("<string>:")
    assert "Rosa" not in str(line)


def test_a_process_that_is_not_set_up_right_says_what_is_missing() -> None:
    (line,) = logged("raise InvalidConfiguration('These environment variables are missing: REDIS_URL.')")
    assert line["reason"] == "These environment variables are missing: REDIS_URL."


def test_lines_go_to_standard_error_as_it_is_then() -> None:
    """A test or a command may put another one in its place for a while."""
    program = """
import io
log.info('before')
sys.stderr, kept = io.StringIO(), sys.stderr
log.info('meanwhile')
meanwhile, sys.stderr = sys.stderr.getvalue(), kept
assert 'meanwhile' in meanwhile
log.info('after')
"""
    assert [line["event"] for line in logged(program)] == ["before", "after"]

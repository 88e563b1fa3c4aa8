"""Runs the tests of one module against each of its mutants, many at once, each in a forked process of its own.

The first way: one process collects the tests; for each mutant it forks, puts the changed code into the function in
question and runs the tests. That takes milliseconds. Whatever is not in a function (tables, defaults), and whatever
the first way did not notice, is run the second way: a fresh process that imports the changed module instead. So a
survivor has always been imported, and no test can have kept an older object.
"""

from __future__ import annotations

import ast
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import mmap
import os
import resource
import select
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

import hypothesis
import pytest

from tests.mutation.modules import DECLARED, ROOT, module_name
from tests.mutation.operators import Mutant, functions_in, mutants_of

OURS: Final = ("services", "tests", "coordinator", "workers")
SETTINGS: Final = ROOT / "services" / "core" / "programmes" / "default.toml"
# A mutant may loop for ever; its tests take milliseconds. Or sleep: then so many times longer by the clock.
SECONDS_AT_MOST: Final = 20
ASLEEP: Final = 15
UNCHANGED_SECONDS_AT_MOST: Final = 300
FAILED: Final = 1


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    HANGS = "hangs"
    SURVIVED = "survived"


@dataclass(frozen=True)
class Outcome:
    """One mutant and its fate."""

    where: str
    change: str
    line: int
    fate: Fate

    @property
    def name(self) -> str:
        """As ``Mutant.name``."""
        return f"{self.where}: {self.change}"


class TestsFail(Exception):
    """The tests of a module fail, or are missing, before anything is changed."""


def run(
    module: str,
    tests: Sequence[Path],
    workers: int,
    told: Callable[[int, int], None],
    seconds: float = SECONDS_AT_MOST,
) -> list[Outcome]:
    """The fate of every mutant of ``module``; ``told`` hears of progress: so many of so many.

    What takes longer than ``seconds`` hangs. Raises ``TestsFail``.
    """
    pool = _Pool(workers, seconds)
    first = _in_a_fork(lambda answer: _Collected(module, tests, pool, answer).run(), lambda done: told(*done))
    if not first or "failure" in first:
        raise TestsFail((first or {}).get("failure", "the tests could not be collected"))
    for name in first["imported"]:
        importlib.import_module(name)
    mutants = first["mutants"]
    again = [index for index, mutant in enumerate(mutants) if mutant["fate"] is None]
    done = len(mutants) - len(again)

    def in_a_child(index: int) -> int:
        return _run_imported(module, tests, first["sources"][str(index)])

    for index, code in pool.each(again, in_a_child):
        mutants[index]["fate"] = _fate_of(code)
        done += 1
        told(done, len(mutants))
    return [Outcome(each["where"], each["change"], each["line"], Fate(each["fate"])) for each in mutants]


def _fate_of(code: int | None) -> Fate:
    """By the exit code of the tests; None: they did not end."""
    return Fate.HANGS if code is None else Fate.SURVIVED if code == 0 else Fate.KILLED


# The first way: the changed function in collected tests


class _Collected:
    """A pytest plugin which, instead of running what was collected, runs it once per mutant in forks."""

    def __init__(self, module: str, tests: Sequence[Path], pool: _Pool, answer: Callable[[Any], None]) -> None:
        self.module = module
        self.tests = tests
        self.pool = pool
        self.answer = answer
        self.kills: Counter[int] = Counter()

    def run(self) -> None:
        """Collect, then run; gives the answer whatever happens."""
        code = pytest.main(_arguments(self.tests), plugins=[self])
        if code not in (0, FAILED):
            self.answer({"failure": f"pytest ended with {code!r}"})

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """What pytest calls when everything is collected."""
        self.answer(self._result(session))
        return True

    def _result(self, session: pytest.Session) -> dict[str, Any]:
        name = module_name(self.module)
        if session.testsfailed or not session.items:
            return {"failure": "the tests could not be collected, or there are none"}
        namespace = vars(importlib.import_module(name))
        mutants = mutants_of((ROOT / self.module).read_text(encoding="utf-8"), namespace, all_settings())
        functions = functions_in(namespace, name)
        killers = mmap.mmap(-1, max(len(mutants), 1) * 2)  # shared with the forks: which test noticed which mutant
        gc.freeze()
        unhurried = replace(self.pool, seconds=UNCHANGED_SECONDS_AT_MOST)
        (broken,) = (code for _, code in unhurried.each([0], lambda index: self._tests(session, index, killers)))
        if broken != 0:
            return {"failure": "its tests fail without any change"}
        fates: list[Fate | None] = [None] * len(mutants)
        quick = [index for index, mutant in enumerate(mutants) if mutant.function in functions]

        def in_a_child(index: int) -> int:
            return self._changed(mutants[index], functions) or self._tests(session, index, killers)

        for index, code in self.pool.each(quick, in_a_child):
            fate = _fate_of(code)
            if fate is Fate.KILLED:
                self.kills[int.from_bytes(killers[2 * index : 2 * index + 2], "big")] += 1
            fates[index] = None if fate is Fate.SURVIVED else fate
            self.answer([sum(fate is not None for fate in fates), len(mutants)])
        imported = [name for name in sys.modules if name.partition(".")[0] not in OURS and name != "__main__"]
        return {
            "mutants": [
                {"where": each.where, "change": each.change, "line": each.line, "fate": fate}
                for each, fate in zip(mutants, fates, strict=True)
            ],
            "sources": {
                str(index): ast.unparse(mutants[index].mutated()) for index, fate in enumerate(fates) if fate is None
            },
            "imported": [name for name in imported if _is_importable(name)],
        }

    def _changed(self, mutant: Mutant, functions: dict[str, Any]) -> int:
        try:
            code = compile(mutant.mutated(), str(ROOT / self.module), "exec")
        except (SyntaxError, ValueError):
            return FAILED
        assert mutant.function is not None
        functions[mutant.function].__code__ = next(
            each for each in _codes_in(code) if each.co_qualname == mutant.function
        )
        return 0

    def _tests(self, session: pytest.Session, mutant: int, killers: mmap.mmap) -> int:
        """Run until a test fails, those first that noticed most so far."""
        order = sorted(range(len(session.items)), key=lambda place: -self.kills[place])
        for place, following in zip(order, [*order[1:], None], strict=True):
            item = session.items[place]
            next_item = None if following is None else session.items[following]
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=next_item)
            if session.testsfailed:
                killers[2 * mutant : 2 * mutant + 2] = place.to_bytes(2, "big")
                return FAILED
        return 0


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes_in(constant)


def all_settings() -> list[str]:
    """The names of all settings of the default programme, sorted."""
    return sorted(_flattened(tomllib.loads(SETTINGS.read_text(encoding="utf-8")), ""))


def _flattened(table: dict[str, Any], prefix: str) -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name


# The second way: the changed module, imported


class _Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the changed source when the module is imported."""

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.source = source

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        del path, target
        if fullname != self.name:
            return None
        spec = importlib.util.spec_from_loader(fullname, self)
        if spec is not None:
            spec.origin = str(ROOT / (fullname.replace(".", "/") + ".py"))
            spec.has_location = True
        return spec

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.source, str(module.__file__), "exec"), vars(module))  # noqa: S102


def _run_imported(module: str, tests: Sequence[Path], source: str) -> int:
    _be_quiet()
    sys.meta_path.insert(0, _Instead(module_name(module), source))
    # To hold what is declared against the documents, all modules of rules are imported: only when nothing else notices.
    own, others = [each for each in tests if each != DECLARED], [each for each in tests if each == DECLARED]
    codes = (int(pytest.main(["-x", *_arguments(some)])) for some in (own, others) if some)
    return next((code for code in codes if code != 0), 0)


def _arguments(tests: Sequence[Path]) -> list[str]:
    # The tests of rules need no fixture of ours. Nothing is shown, written or guessed anew.
    return [
        *("-q", "--noconftest", "--tb=no", "--no-header", "--no-summary", "--capture=no"),
        *("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:schemathesis", "-p", "no:randomly"),
        f"--rootdir={ROOT}",
        *map(str, tests),
    ]


def _is_importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False


# Processes


def _be_quiet() -> None:
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silence, descriptor)
    hypothesis.settings.register_profile(
        "mutation",
        derandomize=True,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.settings.load_profile("mutation")


def _in_a_fork(work: Callable[[Callable[[Any], None]], None], told: Callable[[list[int]], None]) -> dict[str, Any]:
    """Work in a forked process that answers by lines of JSON: lists are progress, the last object is the result."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _be_quiet()
        with os.fdopen(writing, "w", encoding="utf-8") as answers:

            def answer(value: Any) -> None:
                print(json.dumps(value), file=answers, flush=True)

            try:
                work(answer)
            finally:
                os._exit(0)
    os.close(writing)
    result: dict[str, Any] = {}
    with os.fdopen(reading, encoding="utf-8") as answers:
        for line in answers:
            value = json.loads(line)
            if isinstance(value, list):
                told(value)
            else:
                result = value
    os.waitpid(pid, 0)
    return result


@dataclass(frozen=True)
class _Pool:
    """Forked processes, ``workers`` at once, each of which must end within ``seconds`` of the processor's time.

    Not of the clock's: on a busy machine nothing hangs that only waits for its turn.
    """

    workers: int
    seconds: float

    def each(self, indexes: Sequence[int], work: Callable[[int], int]) -> Iterator[tuple[int, int | None]]:
        """Do ``work`` for each index; gives index and exit code, None for what did not end."""
        waiting = list(reversed(indexes))
        running: dict[int, tuple[int, int, float]] = {}  # descriptor of a process → its id, index and when it must end
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    index = waiting.pop()
                    pid = os.fork()
                    if pid == 0:
                        _work_and_leave(work, index, self.seconds)
                    until = time.monotonic() + self.seconds * ASLEEP
                    running[os.pidfd_open(pid)] = (pid, index, until)
                ended, _, _ = select.select(list(running), [], [], 0.5)
                late = {each for each, (_, _, until) in running.items() if time.monotonic() > until} - set(ended)
                for descriptor in (*ended, *late):
                    pid, index, _ = running.pop(descriptor)
                    if descriptor in late:
                        os.kill(pid, signal.SIGKILL)
                    _, status = os.waitpid(pid, 0)
                    os.close(descriptor)
                    code = os.waitstatus_to_exitcode(status)
                    yield index, None if descriptor in late or code == -signal.SIGXCPU else code
        finally:
            for pid, _, _ in running.values():
                os.kill(pid, signal.SIGKILL)


def _work_and_leave(work: Callable[[int], int], index: int, seconds: float) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (ceil(seconds), ceil(seconds) + 1))
    code = FAILED
    try:
        code = work(index)
    finally:
        os._exit(code)

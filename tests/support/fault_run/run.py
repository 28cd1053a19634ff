"""The fault run from its beginning to its verdict."""

import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from support.fault_run.arena import Arena, Plan
from support.fault_run.faults import READY_S, Kind
from support.fault_run.judge import Verdict, judge

PROGRESS_S = 90.0
"""How long after a fault is healed the next events must be sealed, at the latest."""
FINISH_S = 600.0


class Injected(msgspec.Struct, frozen=True, kw_only=True):
    """One fault of a run."""

    number: int
    kind: str
    layer: str
    at_s: float
    """Seconds after the start."""
    lasted_s: float
    """Until it was healed."""
    back_s: float
    """From there until as many events as wanted were sealed."""
    what: str
    sealed_between: int
    """Messages sealed since the fault before it."""


@dataclass
class Outcome:
    """All that a run has shown."""

    plan: Plan
    injected: list[Injected]
    verdict: Verdict
    seconds: float
    peaks_mb: dict[str, int]
    failure: str | None = None

    def report(self) -> dict[str, Any]:
        """What build/test-faults.json holds."""
        between = [one.sealed_between for one in self.injected]
        return {
            "seed": self.plan.seed,
            "brokers": self.plan.nodes,
            "workers": self.plan.workers,
            "partitions": self.plan.partitions,
            "seconds": round(self.seconds),
            "faults": len(self.injected),
            "by_layer": dict(Counter(one.layer for one in self.injected)),
            "by_kind": dict(Counter(one.kind for one in self.injected)),
            "sealed_between_median": statistics.median(between) if between else 0,
            "longest_back_s": max((one.back_s for one in self.injected), default=0),
            "rss_mb_max": self.peaks_mb,
            **msgspec.to_builtins(self.verdict),
            "failure": self.failure,
            "holds": self.verdict.holds and self.failure is None,
        }


class FaultRun:
    """Fault after fault, each once enough was sealed since the one before; then the verdict."""

    def __init__(self, plan: Plan, schedule: Sequence[Kind], folder: Path, *, gap_events: int) -> None:
        self.plan, self.schedule, self.folder = plan, schedule, folder
        self._gap_events = gap_events
        self.injected: list[Injected] = []
        self._log = folder / "run.log"
        self._started_s = time.monotonic()
        self._peaks_mb: Counter[str] = Counter()

    def run(self, *, until_s: float = float("inf")) -> Outcome:
        """Run all of the schedule, or as much of it as begins before `until_s`; then judge."""
        self.folder.mkdir(parents=True, exist_ok=True)
        failure = None
        arena = Arena(self.plan, self.folder, self.say)
        with arena.running():
            self._started_s = time.monotonic()
            try:
                self._begin(arena)
                self._inject_all(arena, until_s)
                self._finish(arena)
            except Exception as error:  # noqa: BLE001 (told with the seed and the log)
                failure = f"{type(error).__name__}: {error}"
                self.say(f"FAILED: {failure}")
                for worker in arena.workers:
                    worker.kill()
            arena.end_cluster()
            self.say("judging")
            verdict = judge(arena) if failure is None or arena.sealed_messages() else Verdict()
        for text in verdict.wrong:
            self.say(f"WRONG: {text}")
        return Outcome(
            self.plan,
            self.injected,
            verdict,
            time.monotonic() - self._started_s,
            dict(self._peaks_mb),
            failure,
        )

    def say(self, text: str) -> None:
        """A line of the log, with its time."""
        line = f"{time.strftime('%H:%M:%S')} +{time.monotonic() - self._started_s:7.1f} s  {text}"
        print(line, flush=True)
        with self._log.open("a") as log:
            log.write(line + "\n")

    def _begin(self, arena: Arena) -> None:
        where = "a disk of its own" if arena.is_mounted else "a folder (no rights to mount: full as told)"
        self.say(
            f"seed {self.plan.seed}: {self.plan.nodes} brokers ({arena.cluster.resident_mb()} MB), "
            f"{self.plan.workers} workers, {self.plan.partitions} partitions; the store is {where}; "
            "networks fail in proxies"
        )
        for worker in arena.regulars:
            arena.wait(worker.is_ready, READY_S, f"{worker.name} is ready")
        arena.wait(lambda: arena.sealed_messages() > 0, READY_S, "the first messages sealed")

    def _inject_all(self, arena: Arena, until_s: float) -> None:
        before = arena.sealed_messages()
        for number, kind in enumerate(self.schedule, 1):
            if time.monotonic() - self._started_s > until_s:
                return
            at_s = time.monotonic() - self._started_s
            sealed = arena.sealed_messages()
            chance = random.Random(f"{self.plan.seed}/{number}/{kind.name}")
            what = kind.inject(arena, chance)
            healed_s = time.monotonic() - self._started_s
            enough = arena.sealed_messages() + self._gap_events
            arena.wait(
                lambda enough=enough: arena.sealed_messages() >= enough,
                PROGRESS_S,
                f"progress after {kind.name}",
            )
            one = Injected(
                number=number,
                kind=kind.name,
                layer=kind.layer,
                at_s=round(at_s, 1),
                lasted_s=round(healed_s - at_s, 1),
                back_s=round(time.monotonic() - self._started_s - healed_s, 1),
                what=what,
                sealed_between=sealed - before,
            )
            before = sealed
            self.injected.append(one)
            self.say(
                f"{number:3d} {kind.name}: {what}; lasted {one.lasted_s} s, {self._gap_events} events after "
                f"{one.back_s} s more"
            )
            self._measure(arena)

    def _measure(self, arena: Arena) -> None:
        for worker in arena.workers:
            if worker.is_running:
                self._peaks_mb[worker.name] = max(self._peaks_mb[worker.name], worker.resident_mb())

    def _finish(self, arena: Arena) -> None:
        """All that was produced is sealed, seen and told; then everything ends as an operator ends it."""
        arena.traffic.settle()
        arena.wait_sealed_up(FINISH_S)
        self.say(f"{arena.traffic.produced:,} messages produced, all accounted for")
        arena.wait(arena.is_told, FINISH_S, "detection at the end of the store, pages delivered")
        for worker in arena.regulars:
            ended = worker.stop()
            assert ended == 0, f"{worker.name} ended with {ended}: {worker.log()[-1500:]}"


def write_report(outcome: Outcome, matrix: dict[str, Any], build: Path) -> dict[str, Any]:
    """build/test-faults.json."""
    report = outcome.report() | matrix
    report["log"] = [msgspec.to_builtins(one) for one in outcome.injected]
    build.mkdir(exist_ok=True)
    (build / "test-faults.json").write_text(json.dumps(report, indent=2) + "\n")
    return report

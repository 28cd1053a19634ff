"""Trials: every canary version against the stable one of its agent, over closed minutes."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from detectors.base import Conclusion
from detectors.canary import MEASURES, Canary, Compared, Verdict
from detectors.evidence import Ints
from detectors.key import Key
from detectors.two_sample import Block, TwoSample
from detectors.window import MINUTE_MS
from pipeline.detect.actions import CLASSES
from pipeline.detect.call_minute import CallMinute
from pipeline.detect.call_tests import MakeConclusion
from pipeline.detect.open_rows import CANARY, DENIED, FAILED
from pipeline.detect.statistics import Progress

BLOCK_MINUTES = 5
"""A trace counts once in so many minutes. Both arms' shares may change from one block to the next."""
MAX_TRIALS = 1_000
"""Trials that are followed; beyond it the longest unseen are forgotten."""
ACTIONS_FROM = len(MEASURES) - 1
BITS = ACTIONS_FROM + CLASSES
"""Of a trace: failed, denied, slow, then one for each class of actions."""
LOG10 = float(np.log(10))
TrialKey = tuple[int, int]
"""(slot, hash of the version)."""


class Trial:
    """One version on trial: the open block, and the evidence of the blocks before."""

    def __init__(self, detector: Canary, first_minute: int) -> None:
        margins = [detector.margin(measure) for measure in MEASURES]
        self.evidence = TwoSample(np.array(margins[:-1] + margins[-1:] * CLASSES))
        self.first_minute = first_minute
        self.block = first_minute // BLOCK_MINUTES
        self.traces: list[dict[int, int]] = [{}, {}]
        """Bits of each trace of the open block: of the stable version, of the canary."""
        self.names: list[str] = [""] * CLASSES
        """An action of each class: the first by name."""
        self.timed = False
        """Whether any call could be told to be slow or not."""
        self.rows: tuple[str, ...] = ()
        """Some of the newest rows of the canary, as evidence: not in snapshots."""
        self.reached: dict[Verdict, int] = {}
        """The minute in which each verdict was first reached: what was once shown stays shown."""

    @property
    def verdict(self) -> Verdict:
        """What was shown so far. A canary may get worse after it was shown not to be."""
        if "worse" in self.reached:
            return "worse"
        return "not worse" if self.reached else "not yet"

    def end_block(self, detector: Canary, minute: int) -> Compared | None:
        """Take the open block into the evidence and go on at `minute`. The measure that shows, for the
        first time, that the canary is worse."""
        self._fold()
        end = (self.block + 1) * BLOCK_MINUTES
        self.block = minute // BLOCK_MINUTES
        verdict, behind = detector.verdict(self.compared(detector))
        if verdict == "not yet" or verdict in self.reached:
            return None
        self.reached[verdict] = end
        return behind[0] if verdict == "worse" else None

    def _fold(self) -> None:
        stable, canary = (_bits(list(arm.values())) for arm in self.traces)
        if len(canary) or len(stable):
            units, others = np.full(BITS, float(len(canary))), np.full(BITS, float(len(stable)))
            self.evidence.add(Block(canary.sum(axis=0), units, stable.sum(axis=0), others))
        self.traces = [{}, {}]

    def compared(self, detector: Canary) -> list[Compared]:
        """All measures that there is something to say about."""
        found: list[Compared] = []
        for bit in range(BITS):
            measure = MEASURES[min(bit, ACTIONS_FROM)]
            action = self.names[bit - ACTIONS_FROM] if bit >= ACTIONS_FROM else None
            hits, traces, stable_hits, stable_traces = self.evidence.totals[:, bit]
            if (measure == "slow" and not self.timed) or action == "":
                continue
            found.append(
                Compared(
                    measure=measure,
                    action=action,
                    margin=detector.margin(measure),
                    hits=int(hits),
                    traces=int(traces),
                    stable_hits=int(stable_hits),
                    stable_traces=int(stable_traces),
                    log10_e_worse=round(float(self.evidence.log_above[bit]) / LOG10, 1),
                    log10_e_not_worse=round(float(self.evidence.log_below[bit]) / LOG10, 1),
                )
            )
        return found

    def state(self) -> Mapping[str, Any]:
        """What a snapshot holds."""
        return {
            "evidence": self.evidence.state(),
            "first": self.first_minute,
            "block": self.block,
            "traces": [list(arm.items()) for arm in self.traces],
            "names": self.names,
            "timed": self.timed,
            "reached": self.reached,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        self.evidence.load(state["evidence"])
        self.first_minute, self.block = state["first"], state["block"]
        self.traces = [dict(arm) for arm in state["traces"]]
        self.names = list(state["names"])
        self.timed, self.reached = state["timed"], dict(state["reached"])


class Trials:
    """The trials of all agents. A test of calls, after the one that tells slow calls."""

    def __init__(self, detector: Canary) -> None:
        self.detector = detector
        self.trials: OrderedDict[TrialKey, Trial] = OrderedDict()

    def step(self, minute: CallMinute) -> Iterable[tuple[int, MakeConclusion]]:
        canary = (minute.marks & CANARY) > 0
        begun = {slot for slot, _ in self.trials}
        if not begun and not canary.any():
            return
        for position in self._concerned(minute, canary, begun):
            rows = np.flatnonzero(minute.group == position)
            slot, now = int(minute.slots[position]), int(minute.minutes[position])
            for version in np.unique(minute.columns["version"][rows[canary[rows]]]).tolist():
                self._begin((slot, version), now)
            for key in [key for key in self.trials if key[0] == slot]:
                trial = self.trials[key]
                if now // BLOCK_MINUTES > trial.block:
                    worst = trial.end_block(self.detector, now)
                    if worst is not None:
                        yield position, self._make(trial, minute.version(key[1]), worst, trial.rows)
                self._count(trial, minute, rows, key[1])
                of_version = canary & (minute.columns["version"] == key[1])
                trial.rows = minute.evidence(position, of_version) or trial.rows

    def _concerned(self, minute: CallMinute, canary: Any, begun: set[int]) -> list[int]:
        """Positions of slots with a trial, or with rows of a canary."""
        known = np.isin(minute.slots, list(begun))
        known[minute.group[canary]] = True
        return np.flatnonzero(known).tolist()

    def _begin(self, key: TrialKey, minute: int) -> None:
        if key not in self.trials:
            self.trials[key] = Trial(self.detector, minute)
        self.trials.move_to_end(key)
        if len(self.trials) > MAX_TRIALS:
            self.trials.popitem(last=False)

    def _count(self, trial: Trial, minute: CallMinute, rows: Ints, version: int) -> None:
        marks, traces = minute.marks[rows], minute.columns["trace"][rows]
        canary, versions = (marks & CANARY) > 0, minute.columns["version"][rows]
        bits = ((marks & FAILED) > 0) * 1 + ((marks & DENIED) > 0) * 2
        bits = bits + (1 << (ACTIONS_FROM + minute.classes[rows]))
        if minute.slow is not None and minute.timed is not None:
            bits = bits + minute.slow[rows] * 4
            trial.timed = trial.timed or bool(minute.timed[rows].any())
        for class_, name in minute.names_of(rows).items():
            trial.names[class_] = min(trial.names[class_] or name, name)
        for arm, which in enumerate((~canary, canary & (versions == version))):
            seen = trial.traces[arm]
            for trace, bit in zip(traces[which].tolist(), bits[which].tolist(), strict=True):
                seen[trace] = seen.get(trace, 0) | bit

    def _make(self, trial: Trial, version: str, worst: Compared, evidence: tuple[str, ...]) -> MakeConclusion:
        window = (trial.first_minute * MINUTE_MS, trial.reached["worse"] * MINUTE_MS)
        return lambda key: self._conclusion(key, version, worst, window, evidence)

    def _conclusion(
        self, key: Key, version: str, worst: Compared, window: tuple[int, int], evidence: tuple[str, ...]
    ) -> Conclusion:
        facts: dict[str, float | int | str] = {
            "measure": worst.measure,
            "canary_share": float(f"{worst.share:.4g}"),
            "canary_traces": worst.traces,
            "stable_share": float(f"{worst.stable_share:.4g}"),
            "stable_traces": worst.stable_traces,
            "margin": worst.margin,
            "log10_e": worst.log10_e_worse,
        }
        if worst.action:
            facts["action"] = worst.action
        return Conclusion(
            kind="statistical",
            key=key,
            labels={"version": version},
            window=window,
            time_base="event",
            summary=self.detector.say(version, worst),
            facts=facts,
            rows=evidence,
            condition="channel = 'canary'",
        )

    def progress(self, slots: Ints, minute: int) -> list[Progress]:  # noqa: ARG002 (nothing is learned first)
        """A trial compares two versions with each other."""
        return []

    def grow(self, slots: int) -> None:
        """Trials are few: they have no arrays."""

    def clear(self, slots: Ints) -> None:
        forgotten = set(slots.tolist())
        for key in [key for key in self.trials if key[0] in forgotten]:
            del self.trials[key]

    def state(self) -> Any:
        return [(*key, trial.state()) for key, trial in self.trials.items()]

    def load(self, state: Any) -> None:
        for slot, version, saved in state:
            trial = self.trials[(slot, version)] = Trial(self.detector, 0)
            trial.load(saved)


def _bits(masks: list[int]) -> Any:
    """Traces × BITS of 0 and 1."""
    return (np.array(masks, dtype=np.int64)[:, None] >> np.arange(BITS) & 1).astype(np.float64)

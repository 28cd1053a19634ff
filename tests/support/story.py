"""Stories in which every detector that ships has something to find: all their firing cases at once.

Each case has agents of its own, spread over two of three partitions; some events are sent twice, some late.
Statistics learn fast here, so that few events are enough.
"""

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import polars as pl
from support.signals import TOPIC

from detectors.base import Case, Detector
from detectors.policy import Policy
from detectors.registry import DETECTORS
from detectors.window import HOUR_MS
from pipeline.detect import DetectConfig, Detection, Found, SignalBatch, Trip
from pipeline.detect.cases import CASE_START_MS, PLAIN
from schemas.command import Selector
from schemas.signal import SIGNAL_SCHEMA

PARTITIONS = 3
LEARNS_FAST = {
    "learning_minutes": 6,
    "learning_hours": 0,
    "learning_events": 40,
    "page_at": 1e2,
    "trip_at": 1e3,
}
CALM_S, TROUBLE_S = 1200, 540
PIN_CALLS = 20
SHORTER = {"scope_unused": 30}
"""How many times sooner all comes in a case of periods of 30 days, whose period is one day here."""
TROUBLE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "error_spike": ({}, {"outcome": "error"}),
    "write_burst": ({"action_kind": "write"}, {"action_kind": "write"}),
    "auth_failure": ({}, {"outcome": "denied"}),
    "external_burst": ({"action_kind": "external"}, {"action_kind": "external"}),
    "throttling": ({}, {"outcome": "throttled"}),
    "personal_data": ({}, {"redactions": [{"key": "PERSON", "value": 1}]}),
    "secret_exposure": ({}, {"redactions": [{"key": "JWT", "value": 1}]}),
    "latency": ({"duration_ns": 200_000_000}, {"duration_ns": 4_000_000_000}),
    "token_burst": ({"input_tokens": 900}, {"input_tokens": 900, "times": 900}),
    "action_mix": ({"action": "find_order"}, {"action": "export_customers"}),
}
"""Of each statistical detector: calm events and troubled ones, which its short case is made of."""
LATE_MS = 400_000
AFTERWARDS_MS = HOUR_MS
SHORT_S = 2100
"""Cases of some hours, and those of days, are two stories."""
Row = dict[str, Any]


def is_statistical(detector: type[Detector]) -> bool:
    """Whether it has a statistic."""
    return "statistic" in detector.Config.model_fields


def config(*, statistics: bool = True) -> DetectConfig:
    """All detectors, statistics that learn fast, and the rules of all cases. `statistics`: whether those of
    calls and counts look at all: in a story of days their minutes cost time and tell nothing."""
    sections: dict[str, Any] = {"policy": _policy()}
    for detector in DETECTORS:
        settings = detector.Config()
        if is_statistical(detector):
            fast = settings.statistic.model_copy(update=LEARNS_FAST)
            fast_pins = {"pin_calls": PIN_CALLS} if "pin_calls" in detector.Config.model_fields else {}
            settings = settings.model_copy(update={"statistic": fast, "enabled": statistics} | fast_pins)
        if detector.name in SHORTER:
            settings = settings.model_copy(update={"period_days": 30 // SHORTER[detector.name]})
        sections[detector.name] = settings
    return DetectConfig(**sections)


def _all_cases() -> Iterator[tuple[int, Case]]:
    """Every case that fires, numbered; those of statistics, which learn for hours, in a short form."""
    number = 0
    for detector in DETECTORS:
        for case in detector.cases:
            if case.fires and not (is_statistical(detector) and "statistical" in case.fires):
                number += 1
                yield number, _sooner(case, SHORTER.get(detector.name, 1))
        if is_statistical(detector):
            number += 1
            calm, trouble = TROUBLE[detector.name]
            events = [
                {"at_s": 0, "times": 90, "spread_s": CALM_S} | calm,
                {"at_s": CALM_S, "times": 260, "spread_s": TROUBLE_S} | trouble,
                {"at_s": CALM_S + TROUBLE_S, "times": 3, "spread_s": 240} | calm,
            ]
            yield number, Case(name="short", events=events, fires=["statistical"])


def _sooner(case: Case, times: int) -> Case:
    events = [
        dict(event) | {"at_s": event["at_s"] / times, "spread_s": event.get("spread_s", 0) / times}
        for event in case.events
    ]
    return msgspec.structs.replace(case, events=events)


def _is_short(case: Case) -> bool:
    return max(event["at_s"] + event.get("spread_s", 0) for event in case.events) < SHORT_S


def _agent(number: int, name: str) -> str:
    return f"s{number}-{name}"


def _policy() -> Policy:
    """All cases' rules, each for its own case's agents where a rule can name agents."""
    tables: dict[str, list[Mapping[str, Any]]] = {}
    for number, case in _all_cases():
        for table, rules in case.policy.items():
            own = {} if table == "credentials" else {"agents": [_agent(number, "*")]}
            tables.setdefault(table, []).extend(dict(rule) | own for rule in rules)
    return Policy.model_validate(tables)


class Story:
    """One story: its partitions' rows, cut and interleaved at will."""

    def __init__(self, *, short: bool) -> None:
        chance = random.Random(11)
        self.trips: list[Trip] = []
        """What the kill switch was told, before all events."""
        partitions: list[list[Row]] = [[] for _ in range(PARTITIONS)]
        for number, case in _all_cases():
            if _is_short(case) != short:
                continue
            for order, event in enumerate(case.events):
                if "trip" in event:
                    self.trips.append(_trip(number, order, event))
                    continue
                for row in _expanded(number, order, event):
                    partitions[(number + (chance.random() < 0.3)) % PARTITIONS].append(row)
        disturbed = [_disturbed(chance, own) for own in partitions]
        self.frames = [_frame(p, own) for p, own in enumerate(disturbed)]
        self.end_ms = max(row["broker_time_ms"] for own in disturbed for row in own) + AFTERWARDS_MS

    def interleaved(self, seed: int, cuts: int = 1) -> list[SignalBatch]:
        """All partitions in `cuts` + 1 batches of random sizes, each in its own order, shuffled together."""
        chance = random.Random(seed)
        queues: list[list[SignalBatch]] = []
        for p, frame in enumerate(self.frames):
            edges = [0, *sorted(chance.sample(range(1, frame.height), cuts)), frame.height]
            ends_ms = [None] * cuts + [self.end_ms]
            queues.append(
                [
                    SignalBatch(TOPIC, p, start, end, frame[start:end], until_ms)
                    for (start, end), until_ms in zip(pairwise(edges), ends_ms, strict=True)
                ]
            )
        out: list[SignalBatch] = []
        while any(queues):
            out.append(chance.choice([q for q in queues if q]).pop(0))
        return out

    def in_step(self, seed: int, hours: int) -> list[SignalBatch]:
        """The same for a story of days: no partition is more than `hours` ahead of another."""
        chance = random.Random(seed)
        out: list[SignalBatch] = []
        done = [0] * PARTITIONS
        for until_ms in range(CASE_START_MS, self.end_ms + hours * HOUR_MS, hours * HOUR_MS):
            for p in chance.sample(range(PARTITIONS), PARTITIONS):
                frame = self.frames[p]
                end = int((frame["broker_time_ms"] < until_ms).sum())
                rows = frame[done[p] : end]
                out.append(SignalBatch(TOPIC, p, done[p], end, rows, until_ms))
                done[p] = end
        return out

    def begun(self, settings: DetectConfig) -> Detection:
        """Detection that knows all partitions and the trips."""
        detection = Detection(settings)
        detection.join([(TOPIC, p) for p in range(PARTITIONS)])
        detection.trips(self.trips)
        return detection


def _trip(number: int, order: int, event: Mapping[str, Any]) -> Trip:
    at_ms = CASE_START_MS + int(event["at_s"] * 1000)
    selector = Selector(agent=_agent(number, PLAIN["agent_id"]))
    return Trip(trip_id=f"t-{number}-{order}", selector=selector, mode=event["trip"], served_at_ms=at_ms)


def _expanded(number: int, order: int, event: Mapping[str, Any]) -> Iterator[Row]:
    fields = {k: v for k, v in event.items() if k not in ("at_s", "times", "spread_s", "agent_id")}
    times = event.get("times", 1)
    for i in range(times):
        at_ms = CASE_START_MS + int((event["at_s"] + i * event.get("spread_s", 0) / times) * 1000)
        digest = hashlib.sha256(f"{number}/{order}/{i}".encode()).hexdigest()
        trace_id = "0af7651916cd43dd8448eb211c80319c" if "span_id" in fields else digest[:32]
        own = {
            "broker_time_ms": at_ms,
            "start_time_unix_nano": at_ms * 1_000_000 - fields.get("duration_ns", 0),
            "trace_id": trace_id,
            "span_id": digest[:16],
            "event_hmac": digest,
            "agent_id": _agent(number, event.get("agent_id", PLAIN["agent_id"])),
        }
        yield PLAIN | own | fields


def _disturbed(chance: random.Random, own: list[Row]) -> list[Row]:
    """In order of append, with some events sent again a little later, and further ones that came late."""
    again = [
        row | {"broker_time_ms": row["broker_time_ms"] + 5_000} for row in chance.sample(own, len(own) // 12)
    ]
    late = [
        row
        | {name: row[name][::-1] for name in ("trace_id", "span_id", "event_hmac")}
        | {"broker_time_ms": row["broker_time_ms"] + LATE_MS}
        for row in own[::17]
    ]
    return sorted([*own, *late, *again], key=lambda row: row["broker_time_ms"])


def _frame(partition: int, own: list[Row]) -> pl.DataFrame:
    origin = [row | {"topic_id": TOPIC, "partition": partition, "offset": i} for i, row in enumerate(own)]
    return pl.DataFrame(origin, schema=SIGNAL_SCHEMA, orient="row")


def settled(found: Sequence[Found]) -> list[bytes]:
    """The findings' bytes that hold in the end, in a fixed order."""
    withdrawn = {one.finding.finding_id for one in found if one.withdrawn is not None}
    holding = [one.finding for one in found if one.finding.finding_id not in withdrawn]
    return sorted(msgspec.json.encode(finding) for finding in holding)

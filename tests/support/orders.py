"""The same rows in many orders: partitions interleaved, batches cut, delivered twice, restored midway."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from support.signals import TOPIC, batch, idle

from detectors.policy import Policy
from detectors.registry import DETECTORS
from pipeline.detect import Detection, Found, SignalBatch
from pipeline.detect.config import DetectConfig

Rows = Sequence[Mapping[str, Any]]


def only(detector: str, **settings: Any) -> DetectConfig:
    """A configuration with one detector: tests of its state need no others.
    `settings`: `policy`, or those of the detector's own section."""
    policy = Policy.model_validate(settings.pop("policy", {}))
    plain = DetectConfig()
    off = {
        other.name: getattr(plain, other.name).model_copy(update={"enabled": False})
        for other in DETECTORS
        if other.name != detector
    }
    own = getattr(plain, detector).model_copy(update=settings)
    return plain.model_copy(update=off | {detector: own, "policy": policy})


def in_order(
    partitions: Mapping[int, Rows], config: DetectConfig, seed: int, end_ms: int, most_rows: int = 40
) -> list[Found]:
    """What comes of the rows in one random order, with snapshots and repeated batches in between. Then all
    partitions are idle until `end_ms`."""
    chance = random.Random(seed)
    detection, found = Detection(config), list[Found]()
    detection.join([(TOPIC, number) for number in partitions])
    queues = [_cut(number, rows, chance, most_rows) for number, rows in partitions.items()]
    while any(queues):
        one = chance.choice([queue for queue in queues if queue]).pop(0)
        found += detection.observe(one)
        if chance.random() < 0.15:
            found += detection.observe(one)
        if chance.random() < 0.15:
            detection = Detection.restore(config, detection.snapshot())
    ends = [idle(len(rows), end_ms, number) for number, rows in partitions.items()]
    chance.shuffle(ends)
    return found + [one for last in ends for one in detection.observe(last)]


def told(found: Sequence[Found], detector: str) -> list[str]:
    """The findings of one detector as bytes, with what was withdrawn, in a fixed order."""
    own = [one for one in found if one.finding.detector == detector]
    return sorted(f"{one.withdrawn} {msgspec.json.encode(one.finding).decode()}" for one in own)


def _cut(number: int, rows: Rows, chance: random.Random, most_rows: int) -> list[SignalBatch]:
    done, out = 0, list[SignalBatch]()
    while done < len(rows):
        size = chance.randint(1, most_rows)
        out.append(batch(rows[done : done + size], number, done))
        done += size
    return out

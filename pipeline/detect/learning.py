"""How far statistics are in learning an agent, from detection's newest snapshot, for people."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from detectors.window import MINUTE_MS
from pipeline.detect.config import DetectConfig
from pipeline.detect.snapshots import Folder, Snapshots
from pipeline.errors import AuditfuseError


class Learned(NamedTuple):
    """One statistic and one key of an agent."""

    environment: str
    via: str
    """Empty: a bound source with the broker's clock."""
    detector: str
    is_learning: bool
    learned_minutes: int
    since_ms: int
    until_ms: int | None
    """When it may speak, at the earliest; None: it does."""
    has_floor: bool
    """Whether its floor watches meanwhile."""
    status: str
    """The same in words."""


def learning_of_agent(
    snapshots: Path, config: DetectConfig, agent: str, shards: Sequence[Folder] = ()
) -> list[Learned]:
    """By key and detector. `shards`: where those of shards are, which share the agents. Raises
    AuditfuseError where no snapshot tells of the agent."""
    newest = [Snapshots(snapshots, config).newest()]
    newest += [Snapshots(folder, config, "agents").newest() for folder in shards]
    detections = [one for one in newest if one is not None]
    if not detections:
        raise AuditfuseError(
            f"no snapshot of detection with this configuration is in {snapshots}: it is saved within "
            "minutes of the first events, and at every hour of event time"
        )
    told = [one for detection in detections for one in detection.learning(agent)]
    told.sort(key=lambda one: (one[0], one[1]))
    if not told:
        raise AuditfuseError(f"detection has seen no agent {agent!r} as of its newest snapshot")
    found: list[Learned] = []
    for key, name, one in told:
        settings = getattr(config, name, None)
        has_floor = getattr(settings, "floor", None) is not None
        until_ms = None if one.until_minute is None else one.until_minute * MINUTE_MS
        found.append(
            Learned(
                environment=key.environment,
                via=key.via,
                detector=name,
                is_learning=until_ms is not None,
                learned_minutes=one.learned_minutes,
                since_ms=one.since_minute * MINUTE_MS,
                until_ms=until_ms,
                has_floor=has_floor,
                status=_words(
                    one.since_minute * MINUTE_MS, one.learned_minutes, until_ms, has_floor=has_floor
                ),
            )
        )
    return found


def _words(since_ms: int, minutes: int, until_ms: int | None, *, has_floor: bool) -> str:
    since = f"since {_time(since_ms)}, {minutes} minutes seen"
    if until_ms is None:
        return f"has learned it ({since})"
    floor = "; its floor watches" if has_floor else ""
    return f"learns it {since}, until {_time(until_ms)} at the earliest{floor}"


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")

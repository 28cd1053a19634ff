"""Detection shared out: what all shards find together is what one detection finds, whatever is cut how."""

from collections.abc import Iterable

import msgspec
import polars as pl
import pytest
from support.signals import START_MS, TOPIC, frame, observe_all, signal
from support.story import PARTITIONS, Story, config, settled

from detectors.policy import Policy
from detectors.registry import DETECTORS
from pipeline.detect.fold import Detection
from pipeline.detect.model import Found, SignalBatch, joined
from pipeline.signals_topic.shard import Shard, all_shards, cut, shard_number

SETTINGS = config()
SHARDS = 3
KEY = (TOPIC, 0)
GOLDEN = [7, 7, 0, 3, 1, 2, 3, 3]


@pytest.fixture(scope="module")
def story() -> Story:
    return Story(short=True)


def shared_out(batches: Iterable[SignalBatch], shard: Shard) -> list[SignalBatch]:
    """The same batches as one shard is given them."""
    out: list[SignalBatch] = []
    for one in batches:
        own = cut(one.signals, [shard])[0]
        out.append(one._replace(signals=own.signals, marker=own.marker))
    return out


def begun(story: Story, shard: Shard) -> Detection:
    detection = Detection(SETTINGS, shard.part)
    detection.join([(TOPIC, p) for p in range(PARTITIONS)])
    detection.trips(story.trips)
    return detection


def test_all_shards_together_find_what_one_detection_finds(story: Story) -> None:
    """Whole segments in one process against cut ones, joined and taken in turns otherwise, in the shards."""
    expected = settled(observe_all(story.begun(SETTINGS), story.interleaved(0)))
    found: list[Found] = []
    for shard in all_shards(SHARDS):
        batches = shared_out(story.interleaved(5, cuts=7), shard)
        own = observe_all(begun(story, shard), joined(batches) if shard.number == 1 else batches)
        assert own, f"shard {shard.name} found nothing"
        found += own
    assert settled(found) == expected
    assert len(expected) > len(DETECTORS)


def of_agents(minutes: dict[str, float]) -> pl.DataFrame:
    """A segment with one event of each agent, at so many minutes."""
    return frame([signal(START_MS + int(at * 60_000), agent_id=name) for name, at in minutes.items()])


def watermark(detection: Detection) -> float | None:
    """In minutes after the start, with the lateness that is waited for."""
    at_ms = detection.watermark_ms
    return None if at_ms is None else (at_ms + SETTINGS.lateness_s * 1000 - START_MS) / 60_000


def test_markers_alone_move_a_shards_time() -> None:
    """Its own rows are but some of what is sealed: by them alone it would run ahead, or stand still."""
    one = next(f"agent-{n}" for n in range(99) if shard_number("prod", f"agent-{n}", SHARDS) == 0)
    other = next(f"agent-{n}" for n in range(99) if shard_number("prod", f"agent-{n}", SHARDS) == 1)
    detection = Detection(SETTINGS, "agents")
    rows = of_agents({one: 5.0, other: 3.0})
    own = cut(rows, [Shard(0, SHARDS)])[0]
    early = START_MS + 120_000
    behind = msgspec.structs.replace(own.marker, newest_ms=early, newest_broker_ms=early)
    detection.observe(SignalBatch(*KEY, 0, 2, own.signals, None, behind))
    assert own.signals.height == 1
    assert watermark(detection) == 2.0
    nothing_of_it = cut(of_agents({other: 7.0}), [Shard(0, SHARDS)])[0]
    assert nothing_of_it.signals.is_empty()
    detection.observe(SignalBatch(*KEY, 2, 3, nothing_of_it.signals, None, nothing_of_it.marker))
    assert watermark(detection) == 7.0
    detection.observe(SignalBatch(*KEY, 3, 3, nothing_of_it.signals.clear(), START_MS + 600_000))
    assert watermark(detection) == 10.0


def test_a_row_is_late_by_the_rows_of_all_agents() -> None:
    """In the order of its partition, wherever the segments are cut."""
    one = next(f"agent-{n}" for n in range(99) if shard_number("prod", f"agent-{n}", SHARDS) == 0)
    other = next(f"agent-{n}" for n in range(99) if shard_number("prod", f"agent-{n}", SHARDS) == 1)
    late_after = SETTINGS.lateness_s / 60 + 1
    rows = [signal(START_MS, agent_id=one), signal(START_MS + int(late_after * 60_000), agent_id=other)]
    late = signal(START_MS, agent_id=one) | {"broker_time_ms": START_MS + 3_600_000}
    whole, cuts = [frame([*rows, late])], [frame(rows), frame([late], start=2)]
    for segments in (whole, cuts):
        detection = Detection(SETTINGS, "agents")
        for at, segment in zip((0, 2), segments, strict=False):
            own = cut(segment, [Shard(0, SHARDS)])[0]
            batch = SignalBatch(*KEY, at, at + segment.height, own.signals, None, own.marker)
            detection.observe(batch)
        assert detection.late_events == 1


def test_a_shard_knows_the_agents_of_all_and_keeps_them_in_its_snapshot() -> None:
    own = cut(of_agents({f"agent-{n}": 1.0 for n in range(20)}), [Shard(0, SHARDS)])[0]
    detection = Detection(SETTINGS, "agents")
    detection.observe(SignalBatch(*KEY, 0, 20, own.signals, None, own.marker))
    assert own.signals.height < 20
    assert len(Detection.restore(SETTINGS, detection.snapshot(), "agents").agents) == 20


def test_what_is_unbound_goes_with_its_source() -> None:
    """Its names are anybody's: who floods with names is one shard's to find."""
    rows = frame([signal(START_MS, agent_id=f"agent-{n}", bound=False) for n in range(30)])
    assert sorted(cut(rows, [shard])[0].signals.height for shard in all_shards(9)) == [0] * 7 + [30, 30]


def test_no_agent_moves_to_another_shard_with_another_version() -> None:
    """Its history would be another detection's."""
    assert [shard_number("prod", f"agent-{n}", 9) for n in range(8)] == GOLDEN


def test_rules_that_compare_agents_see_all_of_them() -> None:
    """Two agents of different shards share a credential, a trace and an approval."""
    one, other = (
        next(f"agent-{n}" for n in range(99) if shard_number(env, f"agent-{n}", SHARDS) == number)
        for number, env in ((0, "prod"), (1, "staging"))
    )
    settings = SETTINGS.model_copy(
        update={"policy": Policy.model_validate({"credentials": [{"one_environment": True}]})}
    )
    rows = [
        signal(START_MS, agent_id=one, credential_id="key-1"),
        signal(START_MS + 60_000, agent_id=other, environment="staging", credential_id="key-1"),
        signal(START_MS + 3 * 3_600_000, agent_id=one),
    ]
    batches = [SignalBatch(*KEY, 0, 3, frame(rows))]
    alone = observe_all(Detection(settings), batches)
    assert [found.finding.detector for found in alone] == ["moved_credential"]
    shared: list[Found] = []
    for shard in all_shards(SHARDS):
        shared += observe_all(Detection(settings, shard.part), shared_out(batches, shard))
    assert settled(shared) == settled(alone)


def test_segments_that_are_joined_are_one() -> None:
    """A shard's rows of a later segment are late by the earlier one, though folded at once with it."""
    one = next(f"agent-{n}" for n in range(99) if shard_number("prod", f"agent-{n}", SHARDS) == 0)
    other = next(f"agent-{n}" for n in range(99) if shard_number("prod", f"agent-{n}", SHARDS) == 1)
    ahead_ms = START_MS + int(SETTINGS.lateness_s * 1000) + 60_000
    first = frame([signal(START_MS, agent_id=one), signal(ahead_ms, agent_id=other)])
    late = signal(START_MS, agent_id=one) | {"broker_time_ms": ahead_ms}
    batches = [SignalBatch(*KEY, 0, 2, first), SignalBatch(*KEY, 2, 3, frame([late], start=2))]
    detection = Detection(SETTINGS, "agents")
    observe_all(detection, joined(shared_out(batches, Shard(0, SHARDS))))
    assert detection.late_events == 1

"""Snapshots by hour of event time: the nearest one that is not ahead is taken, and few are kept."""

import os
from pathlib import Path

from support.signals import START_MS, TOPIC, batch, signal

from pipeline.detect import Detection
from pipeline.detect.config import DetectConfig
from pipeline.detect.snapshots import KEPT, Snapshots

HOUR_MS = 3_600_000
CONFIG = DetectConfig(lateness_s=0)
KEY = (TOPIC, 0)


def saved_hours(folder: Path, hours: int) -> list[Detection]:
    """A detection that saves its state at the end of each hour; the states."""
    detection, states = Detection(CONFIG), list[Detection]()
    for hour in range(hours):
        detection.observe(batch([signal(START_MS + hour * HOUR_MS + 1)], start=hour))
        Snapshots(folder, CONFIG).save(detection)
        states.append(Detection.restore(CONFIG, detection.snapshot()))
    return states


def test_the_newest_that_is_not_ahead_is_taken(tmp_path: Path) -> None:
    states = saved_hours(tmp_path, 3)
    for end, expected in ((3, 2), (2, 1), (7, 2)):
        taken = Snapshots(tmp_path, CONFIG).nearest({KEY: end}, not_before_ms=0)
        assert taken is not None
        assert taken.snapshot() == states[expected].snapshot()
    assert Snapshots(tmp_path, CONFIG).nearest({}, not_before_ms=0) is None


def test_an_hour_has_one_and_few_hours_are_kept(tmp_path: Path) -> None:
    saved_hours(tmp_path, KEPT + 3)
    assert len(list(tmp_path.iterdir())) == KEPT
    Snapshots(tmp_path, CONFIG).save(Detection.restore(CONFIG, max(tmp_path.iterdir()).read_bytes()))
    assert len(list(tmp_path.iterdir())) == KEPT


def test_another_configuration_a_damaged_one_and_one_before_an_erasure_are_not_taken(tmp_path: Path) -> None:
    saved_hours(tmp_path, 2)
    other = DetectConfig(lateness_s=1)
    assert Snapshots(tmp_path, other).nearest({KEY: 9}, not_before_ms=0) is None
    newest = max(tmp_path.iterdir())
    newest.write_bytes(newest.read_bytes()[:-9])
    taken = Snapshots(tmp_path, CONFIG).nearest({KEY: 9}, not_before_ms=0)
    assert taken is not None
    assert taken.ends == {KEY: 1}
    for path in tmp_path.iterdir():
        os.utime(path, (1, 1))
    assert Snapshots(tmp_path, CONFIG).nearest({KEY: 9}, not_before_ms=2000) is None
    assert not list(tmp_path.iterdir()), "nothing of before an erasure is left"

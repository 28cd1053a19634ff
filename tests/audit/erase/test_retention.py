"""Retention rules: the most specific one decides, by broker time, and what is not due leaves no trace."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.audit import START_MS, TOPIC_ID, claim, event_meta, origin, row_of, sealed_store
from support.erase import DAY_MS, eraser_of, settings_in, store_of, stored_rows
from support.faults import Killed, durable_faults
from support.findings import finding_rows

from pipeline.audit.control import append_rows
from pipeline.audit.erase.holds import place_hold
from pipeline.audit.erase.retention import Retention, RetentionRunner
from pipeline.audit.log import PartitionLog
from pipeline.audit.store import CONTROL, FINDINGS, Store
from pipeline.audit.verify import verify_store
from pipeline.audit.writer import new_writer_id
from pipeline.config import Config
from pipeline.errors import ConfigError
from schemas.erasure import Scope
from schemas.record import Row

RULES = """
[[retention]]
days = 30
payload_days = 10
[[retention]]
environment = "staging"
days = 5
[[retention]]
agent = "kept-agent"
days = 3650
"""


def row(day: int, offset: int, **changes: Any) -> Row:
    """An event whose span ended a year before the broker had it, `day` days after the start."""

    place = msgspec.structs.replace(origin(offset), broker_time_ms=START_MS + day * DAY_MS)
    meta = event_meta(offset, **changes)
    old = meta.start_time_unix_nano - 365 * DAY_MS * 1_000_000
    meta = msgspec.structs.replace(meta, origin=place, start_time_unix_nano=old)
    return row_of(meta, b'{"input":1,"output":2,"attributes":{}}')


def retention(config: Config, day: float) -> Retention:
    """The rules as of that day."""
    at_ms = START_MS + int(day * DAY_MS)
    return Retention(eraser_of(config, now_ms=lambda: at_ms), config.retention, now_ms=lambda: at_ms)


def states(store: Store) -> list[str]:
    """Of each event row in order: whole, payload gone, or row gone."""
    rows = [row for key, row in sorted(stored_rows(store).items()) if key[0] == TOPIC_ID]
    return ["gone" if r["meta"] is None else "bare" if r["payload"] is None else "whole" for r in rows]


def sealed(config: Config) -> Store:
    store = store_of(config)
    rows = [
        row(0, 0),
        row(0, 1, environment="staging"),
        row(0, 2, agent_id="kept-agent"),
        row(25, 3),
        row(25, 4, environment="staging"),
    ]
    claim(store).seal(rows, 5)
    return store


def test_the_most_specific_rule_decides(tmp_path: Path) -> None:
    config = settings_in(tmp_path, RULES)
    store = sealed(config)
    retention(config, 4).apply()
    assert states(store) == ["whole"] * 5
    assert store.partitions() == [(TOPIC_ID, 0)], "nothing due, nothing recorded"
    retention(config, 8).apply()
    assert states(store) == ["whole", "gone", "whole", "whole", "whole"]
    retention(config, 12).apply()
    assert states(store) == ["bare", "gone", "bare", "whole", "whole"]
    outcomes = retention(config, 31).apply()
    assert states(store) == ["gone", "gone", "bare", "whole", "gone"]
    assert sum(outcome.rows for outcome in outcomes) == 2
    retention(config, 60).apply()
    assert states(store) == ["gone", "gone", "bare", "gone", "gone"]
    report = verify_store(store)
    assert report.holds, report.faults


def test_what_was_erased_by_which_rule_is_recorded(tmp_path: Path) -> None:
    config = settings_in(tmp_path, RULES)
    store = sealed(config)
    retention(config, 8).apply()
    (phases,) = eraser_of(config).all()
    intent = phases["intent"]
    assert (intent.automatic, intent.by, intent.what) == (True, "retention", "row")
    assert intent.scope == Scope(environment="staging", stored_before_ms=START_MS + 3 * DAY_MS)
    assert "days = 5" in intent.reason
    (entry,) = [e for e in PartitionLog.open(store, TOPIC_ID, 0).entries_after(-1) if e.kind == "erase"]
    assert entry.erasure == intent.erasure


def test_a_hold_stops_retention(tmp_path: Path) -> None:
    config = settings_in(tmp_path, RULES)
    store = sealed(config)
    scope = Scope(agent="invoice-agent", environment="staging")
    place_hold(store, scope, by="legal", reason="case", now_ms=lambda: START_MS)
    (due,) = [due for due in retention(config, 8).plan() if due.outcome.total.held]
    assert due.outcome.rows == 0
    retention(config, 8).apply()
    assert states(store) == ["whole"] * 5


def test_an_interrupted_pass_is_finished_by_the_next(tmp_path: Path) -> None:
    config = settings_in(tmp_path, RULES)
    store = sealed(config)
    eraser_of(config).salt("0")  # the key is made, so that the calls below are the erasure's
    with pytest.raises(Killed), durable_faults("killed before", 30):
        retention(config, 8).apply()
    assert len(eraser_of(config).pending()) == 1
    retention(config, 9).apply()
    assert eraser_of(config).pending() == []
    assert states(store) == ["whole", "gone", "whole", "whole", "whole"]
    assert set(store.segment_names(TOPIC_ID, 0)) == set(PartitionLog.open(store, TOPIC_ID, 0).state.live)


def test_findings_only_by_a_rule_of_their_own(tmp_path: Path) -> None:
    config = settings_in(tmp_path, "[[retention]]\ndays = 1\n")
    store = sealed_store(config.store.path)
    append_rows(store, FINDINGS, finding_rows(), writer_id=new_writer_id(), now_ms=lambda: START_MS)
    retention(config, 100).apply()
    kept = {key[0] for key, row in stored_rows(store).items() if row["meta"] is not None}
    assert kept == {CONTROL, FINDINGS}
    config = settings_in(tmp_path, '[[retention]]\ntopic = "_findings"\ndays = 1\n')
    retention(config, 100).apply()
    kept = {key[0] for key, row in stored_rows(store).items() if row["meta"] is not None}
    assert kept == {CONTROL}


def test_the_thread_applies_the_rules(tmp_path: Path) -> None:
    config = settings_in(tmp_path, RULES)
    store = sealed(config)
    runner = RetentionRunner(retention(config, 8), 3600)
    runner.start()
    runner.stop()
    assert states(store)[1] == "gone"


@pytest.mark.parametrize(
    "rule", ["", 'topic = "_control"\ndays = 1', "days = 1\npayload_days = 2", "days = 0"]
)
def test_a_rule_that_makes_no_sense_is_refused(tmp_path: Path, rule: str) -> None:
    with pytest.raises(ConfigError, match="retention"):
        settings_in(tmp_path, f"[[retention]]\n{rule}\n")

"""What is asked for is gone, everything else is as it was, and the trail over both holds."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.audit import START_MS, TOPIC_ID, claim, dead_letter_row, event_row, event_rows, sealed_store
from support.erase import erase, eraser_of, request, settings_in, store_of, stored_rows

from pipeline.audit.compact import compact_store
from pipeline.audit.log import PartitionLog
from pipeline.audit.store import StoreConfig
from pipeline.audit.verify import verify_store
from pipeline.errors import ConfigError
from schemas.record import Row

AGENTS = ("a-agent", "b-agent", "c-agent")
ENVIRONMENTS = ("production", "staging")
KEPT_OF_ROW = {"offset", "item", "kind", "h", "c"}
COMPACTING = StoreConfig(compact_fan_in_files=2, superseded_grace_s=0)


@st.composite
def batches(draw: st.DrawFn) -> list[list[Row]]:
    """Segments of events of several agents, some with two a message, and dead letters."""
    made: list[list[Row]] = []
    offset = 0
    for size in draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)):
        rows: list[Row] = []
        for _ in range(size):
            if draw(st.integers(0, 5)) == 0:
                rows.append(dead_letter_row(offset))
            for item in range(
                draw(st.integers(1, 2)) if rows[-1:] != [] and rows[-1].offset == offset else 1
            ):
                if rows and (rows[-1].offset, rows[-1].item) >= (offset, item):
                    continue
                rows.append(_event(draw, offset, item))
            offset += draw(st.integers(1, 3))
        made.append(rows)
    return made


def _event(draw: st.DrawFn, offset: int, item: int) -> Row:
    return event_row(
        offset,
        item,
        agent_id=draw(st.sampled_from(AGENTS)),
        environment=draw(st.sampled_from(ENVIRONMENTS)),
    )


@st.composite
def wheres(draw: st.DrawFn) -> list[str]:
    """A random scope."""
    parts: list[str] = []
    if draw(st.booleans()):
        parts.append(f"agent={draw(st.sampled_from(AGENTS))}")
    if draw(st.booleans()):
        parts.append(f"environment={draw(st.sampled_from(ENVIRONMENTS))}")
    if draw(st.booleans()):
        parts.append(f"from={START_MS + draw(st.integers(0, 20)) + 250}")
    if draw(st.booleans()):
        parts.append(f"to={START_MS + draw(st.integers(0, 40)) + 250}")
    return parts or ["topic=agent-events"]


def _matches(row: dict[str, Any], parts: list[str]) -> bool:
    """The scope, told from the record alone."""
    meta = msgspec.json.decode(row["meta"])
    for key, value in (part.split("=") for part in parts):
        if key == "topic":
            continue
        if key in ("agent", "environment"):
            if meta.get("agent_id" if key == "agent" else key) != value:
                return False
            continue
        at = meta["origin"]["broker_time_ms"]
        if meta["kind"] == "event":
            at = (meta["start_time_unix_nano"] + meta["duration_ns"]) // 1_000_000
        if (at < int(value)) if key == "from" else (at >= int(value)):
            return False
    return True


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    made=batches(),
    orders=st.lists(st.tuples(wheres(), st.sampled_from(["row", "payload"])), min_size=1, max_size=2),
    compacted=st.booleans(),
)
def test_exactly_what_matches_is_gone(
    tmp_path_factory: pytest.TempPathFactory,
    made: list[list[Row]],
    orders: list[tuple[list[str], Any]],
    compacted: bool,
) -> None:
    config = settings_in(tmp_path_factory.mktemp("erase"))
    store = store_of(config)
    writer = claim(store)
    for rows in made:
        writer.seal(rows, rows[-1].offset + 1)
    for parts, what in orders:
        if compacted:
            compact_store(
                store, StoreConfig(compact_fan_in_files=2, superseded_grace_s=0), now_ms=lambda: START_MS
            )
        before = {key: row for key, row in stored_rows(store).items() if key[0] == TOPIC_ID}
        outcome = erase(config, *parts, what=what)
        after = stored_rows(store)
        gone = {key for key, row in before.items() if row["meta"] is not None and _matches(row, parts)}
        if what == "payload":
            gone = {key for key in gone if before[key]["payload"]}
        for key, row in before.items():
            if key not in gone:
                assert after[key] == row
            elif what == "row":
                assert {name for name, value in after[key].items() if value is not None} == KEPT_OF_ROW
            else:
                assert after[key] == {**row, "payload": None, "salt_p": None, "cp": after[key]["cp"]}
        assert (outcome.rows, outcome.payloads) == ((len(gone), 0) if what == "row" else (0, len(gone)))
        live = PartitionLog.open(store, TOPIC_ID, 0).state.live
        assert set(store.segment_names(TOPIC_ID, 0)) == set(live), "a replaced file is still there"
    report = verify_store(store)
    assert report.holds, report.faults


def test_a_survey_changes_nothing(tmp_path: Path) -> None:
    config = settings_in(tmp_path)
    sealed_store(config.store.path)
    before = sorted((str(path), path.read_bytes()) for path in config.store.path.rglob("*") if path.is_file())
    outcome = eraser_of(config).survey(request("agent=invoice-agent"))
    assert outcome.rows == 29
    assert sorted((str(p), p.read_bytes()) for p in config.store.path.rglob("*") if p.is_file()) == before


def test_compaction_keeps_what_stands_for_erased_rows(tmp_path: Path) -> None:
    config = settings_in(tmp_path)
    store = sealed_store(config.store.path, segments=6)
    erase(config, f"trace={2:032x}")
    erase(config, f"trace={4:032x}", what="payload")
    before = stored_rows(store)
    compact_store(store, COMPACTING, now_ms=lambda: START_MS)
    assert len(PartitionLog.open(store, TOPIC_ID, 0).state.live) == 1
    assert stored_rows(store) == before
    assert verify_store(store).holds


def test_files_that_a_compaction_left_for_running_queries_go_too(tmp_path: Path) -> None:
    config = settings_in(tmp_path)
    store = store_of(config)
    writer = claim(store)
    resting = StoreConfig(compact_fan_in_files=2, superseded_grace_s=3600)
    for number in range(4):
        writer.seal(event_rows(number * 10, 10), number * 10 + 10)
        compact_store(store, resting, now_ms=lambda: START_MS)
    kinds = {name.split("-")[3] for name in store.segment_names(TOPIC_ID, 0)}
    assert kinds == {"seal", "compact"}
    assert len(store.segment_names(TOPIC_ID, 0)) > 4
    erase(config, f"trace={1:032x}")
    left = [name for name in store.segment_names(TOPIC_ID, 0) if name < f"{10:020d}"]
    assert left == list(PartitionLog.open(store, TOPIC_ID, 0).state.live)


def test_an_end_user_in_the_clear_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--value-file"):
        request("end-user=jane@example.org")

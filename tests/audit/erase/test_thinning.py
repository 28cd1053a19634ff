"""Thinning: whole routine traces alone lose their payloads, what is protected never does, and all else is as
it was."""

import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.audit import START_MS, TOPIC_ID, claim, dead_letter_row
from support.erase import DAY_MS, eraser_of, event_rows_of, settings_in, store_of, stored_rows
from support.faults import Killed, durable_faults
from support.findings import finding
from support.long import by_form
from support.thinning import ALL, HALF, MARK, PROTECTED, bare, event, sealed, thin, thinning

from pipeline.audit.compact import Compactor
from pipeline.audit.control import AppendRow, append_rows
from pipeline.audit.erase.holds import lift_hold, place_hold
from pipeline.audit.erase.thin_rows import HASH_KEY, trace_hash
from pipeline.audit.store import FINDINGS, Store, StoreConfig
from pipeline.audit.verify import verify_store
from pipeline.audit.writer import new_writer_id
from pipeline.config import Config
from pipeline.detect.model import Found
from pipeline.errors import ConfigError, StoreError
from pipeline.keys import Keys
from pipeline.respond.state import StateDatabase
from schemas.erasure import Scope
from schemas.finding import FindingRow
from schemas.record import Row


def test_what_is_due_goes_and_its_metadata_stays(tmp_path: Path) -> None:
    config = settings_in(tmp_path, ALL)
    store = sealed(config, [event(0), event(1), dead_letter_row(2), event(3, trace_id=None)])
    before = {key: row["meta"] for key, row in stored_rows(store).items()}
    assert thin(config, 23) == 0 and len(store.partitions()) == 1, "nothing due, nothing recorded"
    one = thinning(config, 48)
    planned = one.plan()
    assert bare(store) == set(), "a plan changes nothing"
    done = one.apply()
    assert (planned.payloads, planned.payload_bytes) == (done.payloads, done.payload_bytes)
    assert done.payloads == 3 and done.payload_bytes == 3 * len(event(0).payload)
    assert bare(store) == {(0, 0), (0, 1), (0, 3)}
    after = stored_rows(store)
    assert {key: after[key]["meta"] for key in before} == before
    report = verify_store(store)
    assert report.holds, report.faults
    assert "by thinning" in str(report)
    (phases,) = eraser_of(config).all()
    assert (phases["intent"].by, phases["intent"].what, phases["completion"].payloads) == (
        "thinning",
        "payload",
        3,
    )
    assert thin(config, 49) == 0 and len(eraser_of(config).all()) == 1, "done once"


def test_erased_texts_are_gone_from_every_byte_on_disk(tmp_path: Path) -> None:
    config = settings_in(tmp_path, ALL)
    sealed(config, [event(0), event(1)], [event(2, trace_id="b" * 32, outcome="error")])
    thin(config)
    found = {
        path for path in tmp_path.rglob("*") if path.is_file() and f"{MARK} 0".encode() in path.read_bytes()
    }
    assert not found
    assert any(f"{MARK} 2".encode() in path.read_bytes() for path in tmp_path.rglob("*.parquet")), (
        "not compressed"
    )


@pytest.mark.parametrize("name", PROTECTED)
def test_one_protected_row_keeps_its_whole_trace_wherever_it_lies(tmp_path: Path, name: str) -> None:
    config = settings_in(tmp_path, ALL)
    store = sealed(
        config,
        [event(0), event(1, trace_id="b" * 32)],
        [event(2)],
        [event(0, partition=1, **PROTECTED[name])],
    )
    assert thin(config) == 1
    assert bare(store) == {(0, 1)}


def test_the_share_is_decided_by_the_keyed_hash_of_the_trace(tmp_path: Path) -> None:
    config = settings_in(tmp_path, HALF)
    names = [f"{number:032x}" for number in range(1, 401)]
    store = sealed(config, [event(offset, trace_id=name) for offset, name in enumerate(names)])
    thin(config)
    key = Keys(config.keys.path).get(HASH_KEY)
    gone = {offset for _, offset in bare(store)}
    assert gone == {o for o, name in enumerate(names) if trace_hash(key, f"trace:{name}") >> 11 >= 2**52}
    assert 140 < len(gone) < 260
    assert thin(settings_in(tmp_path, HALF.replace("0.5", "0.5000001")), 72) < 3, "the same traces again"


def test_the_most_specific_rule_decides_and_every_row_needs_one(tmp_path: Path) -> None:
    rules = """
[[thinning.rules]]
environment = "production"
keep = 0.0
after_hours = 24
[[thinning.rules]]
agent = "kept"
keep = 1.0
after_hours = 24
[[thinning.rules]]
agent = "slow"
action_kind = "read"
keep = 0.0
after_hours = 72
"""
    config = settings_in(tmp_path, rules)
    a, b, c, d = ("a" * 32, "b" * 32, "c" * 32, "d" * 32)
    store = sealed(
        config,
        [
            event(0, trace_id=a),
            event(1, trace_id=b, agent_id="kept"),
            event(2, trace_id=c, agent_id="slow"),
            event(3, trace_id=d),
            event(4, trace_id=d, environment="staging"),
            event(5, trace_id="e" * 32, agent_id="slow", action_kind="write"),
        ],
    )
    thin(config, 48)
    assert bare(store) == {(0, 0), (0, 5)}
    kept = thinning(config, 60).plan().kept
    assert kept == {"the share that is kept": 1, "no rule fits it": 2, YOUNG_TEXT: 1}
    thin(config, 96)
    assert bare(store) == {(0, 0), (0, 2), (0, 5)}, "what was too young is looked at again"


YOUNG_TEXT = "not due yet, or not seen by detection"


def test_traces_of_incidents_stay(tmp_path: Path) -> None:
    config = settings_in(tmp_path, ALL)
    store = sealed(
        config,
        [
            event(0, trace_id="a" * 32),  # named by the evidence
            event(1, trace_id="b" * 32, session_id="conv_1"),  # in a session that it names
            event(2, trace_id="c" * 32, hours=0.01),  # the agent's, in the window
            event(3, trace_id="d" * 32, agent_id="another", hours=0.01),
            event(4, trace_id="e" * 32, hours=2),
        ],
        [event(5, trace_id="a" * 32, agent_id="another", hours=2)],
    )
    found = finding()
    found = msgspec.structs.replace(found, window_start_ms=START_MS + 30_000, window_end_ms=START_MS + 60_000)
    evidence = {"traces": ["a" * 32], "sessions": ["conv_1"]}
    row = FindingRow(
        id=found.finding_id,
        finding=found,
        incident_id="inc_1",
        late=False,
        found_at_ms=START_MS,
        evidence=evidence,
    )
    append_rows(store, FINDINGS, [AppendRow.of(row)], writer_id=new_writer_id(), now_ms=lambda: START_MS)
    assert thin(config) == 2
    assert bare(store) == {(0, 3), (0, 4)}


def test_what_detection_has_not_seen_waits(tmp_path: Path) -> None:
    config = settings_in(tmp_path, ALL)
    store = sealed(config, [event(0)], [event(1)])
    state = StateDatabase(config.state)
    assert thin(config, state=state) == 0, "it has never run"
    state.create_schema()
    state.consume([], {(TOPIC_ID, 0): (0, 1)}, START_MS, shard="0/2")
    state.consume([], {(TOPIC_ID, 0): (0, 2)}, START_MS, shard="1/2")
    assert thin(config, 50, state=state) == 0, "one shard has not seen the second row of the trace"
    state.consume([], {(TOPIC_ID, 0): (1, 2)}, START_MS, shard="0/2")
    assert thin(config, 51, state=state) == 2
    assert bare(store) == {(0, 0), (0, 1)}
    state.close()


def test_a_finding_on_its_way_into_the_store_keeps_its_traces(tmp_path: Path) -> None:
    config = settings_in(tmp_path, ALL)
    store = sealed(config, [event(0)], [event(1, trace_id="b" * 32, agent_id="another")])
    state = StateDatabase(config.state)
    state.create_schema()
    found = msgspec.structs.replace(finding(), window_start_ms=START_MS, window_end_ms=START_MS + 1000)
    one = Found(finding=found, late=False, evidence={}, withdrawn=None)
    state.consume([one], {(TOPIC_ID, 0): (0, 2)}, START_MS)
    assert thin(config, state=state) == 1
    assert bare(store) == {(0, 1)}
    state.close()


def test_traces_of_a_hold_stay_until_it_is_lifted(tmp_path: Path) -> None:
    config = settings_in(tmp_path, ALL)
    store = sealed(config, [event(0), event(1, agent_id="held"), event(2, trace_id="b" * 32)])
    hold = place_hold(store, Scope(agent="held"), by="legal", reason="case", now_ms=lambda: START_MS)
    thin(config)
    assert bare(store) == {(0, 2)}
    lift_hold(store, hold.hold, by="legal", reason="over", now_ms=lambda: START_MS)
    thin(config, 49)
    assert bare(store) == {(0, 0), (0, 1), (0, 2)}


def test_a_pass_that_was_killed_is_finished_by_the_next(tmp_path: Path) -> None:
    config = settings_in(tmp_path, ALL)
    parts = [[event(offset, partition=p, trace_id=f"{offset:032x}")] for p in range(3) for offset in range(3)]
    store = sealed(config, *parts)
    eraser_of(config).salt("0")
    killed = 0
    for call in range(8, 60, 16):
        with contextlib.suppress(Killed, StoreError), durable_faults("killed before", call):
            thin(config)
            break
        killed += 1
    assert killed > 1
    thin(config, 49)
    assert eraser_of(config).pending() == []
    assert len(bare(store)) == 9
    assert verify_store(store).holds
    for partition in range(3):
        assert len(store.segment_names(TOPIC_ID, partition)) == 3, "no replaced file is left"


_ROWS = st.lists(
    st.tuples(
        st.integers(0, 2),  # partition
        st.integers(0, 5),  # trace; 0: none
        st.sampled_from([{}, {}, {}, *PROTECTED.values(), {"agent_id": "kept"}, {"action_kind": "write"}]),
        st.booleans(),  # whether a segment ends here
    ),
    min_size=1,
    max_size=25,
)


@settings(
    max_examples=by_form(short=8, long=500),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(rows=_ROWS, share=st.sampled_from([0.0, 0.5]), compacted=st.booleans())
def test_whatever_the_rows_only_whole_unprotected_traces_go(
    rows: list[tuple[int, int, dict[str, Any], bool]], share: float, compacted: bool
) -> None:
    with TemporaryDirectory() as folder:
        rules = ALL.replace("0.0", str(share))
        rules += '[[thinning.rules]]\nagent = "kept"\nkeep = 1.0\nafter_hours = 24\n'
        config = settings_in(Path(folder), rules)
        store, traces = _sealed_rows(config, rows)
        if compacted:
            fan_in = StoreConfig(compact_fan_in_files=2, superseded_grace_s=0)
            Compactor(
                store, fan_in, writer_id=new_writer_id(), now_ms=lambda: START_MS + 2 * DAY_MS
            ).run_once()
        before = {key: row["meta"] for key, row in stored_rows(store).items()}
        thin(config)
        key = Keys(config.keys.path).get(HASH_KEY)
        wanted = {
            place
            for whole, held in traces.items()
            if not any(changes in (*PROTECTED.values(), {"agent_id": "kept"}) for _, changes in held)
            and trace_hash(key, whole) >> 11 >= int(share * 2**53)
            for place, _ in held
        }
        assert bare(store) == wanted
        after = stored_rows(store)
        assert {k: after[k]["meta"] for k in before} == before
        report = verify_store(store)
        assert report.holds, report.faults


def _sealed_rows(
    config: Config, rows: list[tuple[int, int, dict[str, Any], bool]]
) -> tuple[Store, dict[str, list[tuple[tuple[int, int], dict[str, Any]]]]]:
    """The store, and per trace (partition, offset) and changes of its rows."""
    store = store_of(config)
    traces: dict[str, list[tuple[tuple[int, int], dict[str, Any]]]] = {}
    for partition in range(3):
        mine = [row for row in rows if row[0] == partition]
        waiting: list[Row] = []
        writer = claim(store, partition=partition) if mine else None
        for offset, (_, trace, changes, ends) in enumerate(mine):
            name = f"{trace:032x}" if trace else None
            waiting.append(event(offset, partition=partition, trace_id=name, **changes))
            whole = f"trace:{name}" if name else f"row:{partition}/{offset}/0"
            traces.setdefault(whole, []).append(((partition, offset), changes))
            if writer is not None and (ends or offset == len(mine) - 1):
                writer.seal(waiting, offset + 1)
                waiting = []
    return store, traces


@pytest.mark.parametrize(
    "rule",
    [
        "keep = 2\nafter_hours = 24",
        "keep = 0.1\nafter_hours = 0.1",
        "after_hours = 24",
        'keep = 1\nafter_hours = 1\naction_kind = "external"',
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(tmp_path: Path, rule: str) -> None:
    with pytest.raises(ConfigError, match="thinning"):
        settings_in(tmp_path, f"[[thinning.rules]]\n{rule}\n")


def test_slices_of_time_cover_everything_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.audit.erase.thinning.SLICE_ROWS", 3)
    config = settings_in(tmp_path, ALL)
    pairs = [
        [event(offset, trace_id=f"{offset // 2:032x}", hours=offset / 4) for offset in (first, first + 1)]
        for first in range(0, 12, 2)
    ]
    store = sealed(config, *pairs)
    done = thinning(config, 48).apply()
    assert done.payloads == 12 and len(done.erasures) > 2
    assert len(list(event_rows_of(store))) == len(bare(store)) == 12

"""Several processes write to one state database at once: nothing is lost, and nothing is there twice."""

import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import msgspec
import pytest
import support.respond
from sqlalchemy import select
from support.long import by_form
from support.respond import found
from support.shards import NOW_MS, PARTS, SHARDS, all_findings

from pipeline.respond import tables
from pipeline.respond.incidents import Episode
from pipeline.respond.state import ConsumedElsewhere, StateConfig, StateDatabase

pytestmark = pytest.mark.usefixtures("the_server")
TESTS = Path(__file__).parents[1]
BATCHES = by_form(short=15, long=150)


@pytest.fixture
def state(tmp_path: Path) -> StateDatabase:
    """After two shards were consumed by a process each while a third answered."""
    url = support.respond.state_url(tmp_path)
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"}
    command = [sys.executable, "-m", "support.shards", url.get_secret_value(), str(BATCHES)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    return StateDatabase(StateConfig(url=url))


def test_two_shards_and_a_person_lose_nothing_and_do_nothing_twice(state: StateDatabase) -> None:
    expected = all_findings(BATCHES)
    assert state.shards() == list(SHARDS)
    for shard in SHARDS:
        assert state.sealed_ends(shard) == dict.fromkeys(PARTS, BATCHES * 10)
    rows = rows_of_findings(state)
    assert set(rows) == expected
    assert len(rows) == len(expected)
    stored = stored_findings(state)
    assert set(stored) == expected
    # No count was written over by another process's.
    bursts = {one.incident.incident_id: one.incident.findings for one, _ in episodes(state) if is_burst(one)}
    assert bursts == {id_: count for id_, count in Counter(stored.values()).items() if id_ in bursts}
    for episode, rows in episodes(state):
        assert [row.rpartition("/")[2] for row in rows] == [str(n + 1) for n in range(episode.changes)]
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for episode, _ in episodes(state):
        numbers[episode.incident.incident_key].append(episode.number)
    assert all(sorted(given) == list(range(1, len(given) + 1)) for given in numbers.values())
    assert any(episode.incident.agent_id == "*" for episode, _ in episodes(state)), "both shards fell silent"
    # Who comes late with what was consumed changes nothing.
    late = dict.fromkeys(PARTS, (0, 10))
    with pytest.raises(ConsumedElsewhere):
        state.consume([found("late")], late, NOW_MS, shard="1/2")
    assert set(stored_findings(state)) == expected


def is_burst(episode: Episode) -> bool:
    return episode.incident.detector == "write_burst"


def rows_of_findings(state: StateDatabase) -> list[str]:
    """The ids of findings that are on their way into `_findings`."""
    table = tables.appends
    query = select(table.c.row_id).where(table.c.kind == "finding")
    return list(state.read(lambda connection: connection.scalars(query).all()))


def stored_findings(state: StateDatabase) -> dict[str, str]:
    """The incident of each finding."""
    query = select(tables.findings.c.finding_id, tables.findings.c.incident_id)
    return {row.finding_id: row.incident_id for row in state.read(lambda c: c.execute(query).all())}


def episodes(state: StateDatabase) -> list[tuple[Episode, list[str]]]:
    """Each incident, and the ids of the rows that tell of its changes, in their order."""
    table, appends = tables.incidents, tables.appends
    rows = state.read(lambda connection: connection.execute(select(table.c.episode)).all())
    told: defaultdict[str, list[str]] = defaultdict(list)
    changes = select(appends.c.row_id).where(appends.c.kind == "incident").order_by(appends.c.seq)
    for row_id in state.read(lambda connection: connection.scalars(changes).all()):
        told[row_id.rpartition("/")[0]].append(row_id)
    decoded = [msgspec.json.decode(row.episode, type=Episode) for row in rows]
    return [(one, told[one.incident.incident_id]) for one in decoded]

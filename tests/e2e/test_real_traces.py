"""Real traces on a real broker: everything arrives once, verifies, and says the same in every format."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.broker import TestBroker
from support.long import by_form
from support.produce import create_topic, produce, unique
from support.running import (
    Running,
    auditfuse,
    detectors_alone,
    free_port,
    sealed_rows,
    wait_until,
    write_config,
)
from support.traces import EVENTS, FULL_HISTORY, NATIVE, OTLP, lines, needs_shared

PARTITIONS = 4
FILES = {"events": NATIVE, "otlp_spans": OTLP} | by_form(short={}, long={"full_history": FULL_HISTORY})
WHOLE = "events"
"""The file that is taken in with names and every detector; of the others only the trail is looked at."""
SHAPE = """
    select action, operation, status, outcome, action_kind, duration_ns, count(*)
    from events group by all order by all
"""

pytestmark = [needs_shared, pytest.mark.kafka, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, kafka: TestBroker) -> Iterator[dict[str, Path]]:
    """One store for each file, filled by one `auditfuse run` for each."""
    with ThreadPoolExecutor(len(FILES)) as side_by_side:
        recorded = {
            name: side_by_side.submit(_record, tmp_path_factory.mktemp(name), kafka.bootstrap, name, path)
            for name, path in FILES.items()
        }
    yield {name: record.result() for name, record in recorded.items()}


def _record(folder: Path, kafka: str, name: str, path: Path) -> Path:
    topic = unique(name.replace("_", "-"))
    asyncio.run(create_topic(kafka, topic, PARTITIONS))
    asyncio.run(produce(kafka, topic, lines(path), PARTITIONS))
    port = free_port()
    less = {"redaction": {"names": "off"}, "detect": detectors_alone("error_spike")}
    write_config(
        folder,
        data_dir=str(folder),
        kafka={"bootstrap_servers": kafka, "group_id": topic},
        sources=[
            {
                "name": "agents",
                "topic": topic,
                "kind": "kafka",
                "format": "events" if name == "events" else "otlp_spans",
                "agents": ["*"],
                "environments": ["*"],
                "approvals": "trusted",
            }
        ],
        killswitch={"port": port},
        **({} if name == WHOLE else less),
    )
    store = folder / "store"
    with Running(folder, port) as running:
        running.wait_ready()
        wait_until(lambda: sealed_rows(store) >= EVENTS, 500, f"{EVENTS} rows sealed from {path.name}")
        assert running.stop() == 0, running.log()
    return store


@pytest.mark.parametrize("name", FILES)
def test_every_event_is_in_the_store_once(stores: dict[str, Path], name: str) -> None:
    store = stores[name]
    count = auditfuse(
        "sql", "--store", str(store), "--format", "csv", "select count(*) from events", cwd=store.parent
    )
    assert count.stdout.split()[-1] == str(EVENTS)
    identities = (
        "select count(distinct (topic_id, partition, \"offset\", item)) from all_rows where kind = 'event'"
    )
    distinct = auditfuse("sql", "--store", str(store), "--format", "csv", identities, cwd=store.parent)
    assert distinct.stdout.split()[-1] == str(EVENTS)


@pytest.mark.parametrize("name", FILES)
def test_the_trail_verifies(stores: dict[str, Path], name: str) -> None:
    store = stores[name]
    done = auditfuse("verify", "--store", str(store), "--json", cwd=store.parent)
    assert json.loads(done.stdout)["holds"] is True
    sql = Path(__file__).parents[2] / "docs" / "verify.sql"
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET VARIABLE store = ?", [str(store)])
    assert connection.execute(sql.read_text()).fetchall() == []


@pytest.mark.parametrize("name", [name for name in FILES if name != "events"])
def test_otlp_and_native_say_the_same(stores: dict[str, Path], name: str) -> None:
    native, otlp = (
        auditfuse(
            "sql", "--store", str(stores[which]), "--format", "csv", SHAPE, cwd=stores[which].parent
        ).stdout
        for which in ("events", name)
    )
    assert otlp == native

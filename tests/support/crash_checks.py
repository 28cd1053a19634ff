"""What must hold of a store and its pages, however often its writers were killed."""

import json
import sqlite3
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from support.webhook import Webhook

from pipeline.audit.log import PartitionLog
from pipeline.audit.segment import open_parquet
from pipeline.audit.store import APPEND_PARTITIONS, Store
from pipeline.audit.verify import verify_store


class StoredRow(NamedTuple):
    """A sealed row of an input topic."""

    topic: str
    partition: int
    offset: int
    item: int
    kind: str
    meta: dict[str, Any]
    payload: str

    @property
    def content(self) -> tuple[Any, ...]:
        """All that does not depend on when and by which run it was taken in."""
        origin = {k: v for k, v in self.meta["origin"].items() if k not in ("topic_id", "ingest_time_ms")}
        return (self.topic, self.kind, {**self.meta, "origin": origin}, self.payload)


def stored_rows(root: Path) -> list[StoredRow]:
    """Every row of the input topics, by the live segments alone."""
    store = Store(root)
    rows: list[StoredRow] = []
    for topic_id, partition in store.partitions():
        if topic_id in APPEND_PARTITIONS:
            continue
        for name in PartitionLog.open(store, topic_id, partition).state.live:
            with store.open_segment(topic_id, partition, name) as source:
                table = open_parquet(source).read(columns=["offset", "item", "kind", "meta", "payload"])
            topic = topic_id.rpartition(".")[0]
            for row in table.to_pylist():
                identity = (topic, partition, row["offset"], row["item"])
                rows.append(StoredRow(*identity, row["kind"], json.loads(row["meta"]), row["payload"]))
    return rows


class Sealed:
    """How far one topic is sealed, asked again and again: reads only what its logs have gained."""

    def __init__(self, root: Path, topic: str) -> None:
        self._store = Store(root)
        self._topic = topic
        self._logs: dict[tuple[str, int], PartitionLog] = {}

    def messages(self) -> int:
        """The sum of the sealed ends; without control records an offset is a message."""
        for key in self._store.partitions():
            if key[0].rpartition(".")[0] == self._topic:
                self._logs.setdefault(key, PartitionLog(self._store, *key))
        return sum(log.refresh().end for log in self._logs.values())


def assert_sound(root: Path) -> list[StoredRow]:
    """The store verifies, and no row identity is there twice; returns the rows."""
    report = verify_store(Store(root), workers=1)
    assert report.holds, report.faults[:10]
    rows = stored_rows(root)
    twice = [identity for identity, n in Counter(row[:4] for row in rows).items() if n > 1]
    assert not twice, twice[:10]
    return rows


def incidents(state_database: Path) -> dict[str, str]:
    """For each incident id: `<agent>/<detector>`."""
    with sqlite3.connect(state_database) as connection:
        rows = connection.execute("select incident_id, lead from incidents").fetchall()
    leads = {incident_id: json.loads(lead)["finding"] for incident_id, lead in rows}
    return {one: f"{lead['agent_id']}/{lead['detector']}" for one, lead in leads.items()}


def pages_of(webhook: Webhook, state_database: Path) -> dict[str, int]:
    """How many different pages each incident of that database had at the webhook."""
    pages: dict[str, set[str]] = defaultdict(set)
    for request in list(webhook.requests):
        pages[request["page_id"].rpartition("/")[0]].add(request["page_id"])
    return {one: len(pages.get(one, ())) for one in incidents(state_database)}


def finding_ids(root: Path) -> list[str]:
    """The ids of the findings sealed in `_findings`, in order."""
    store = Store(root)
    ids: list[str] = []
    for name in PartitionLog.open(store, "_findings", 0).state.live:
        with store.open_segment("_findings", 0, name) as source:
            table = open_parquet(source).read(columns=["kind", "id"])
        ids += [row["id"] for row in table.to_pylist() if row["kind"] == "finding"]
    return ids

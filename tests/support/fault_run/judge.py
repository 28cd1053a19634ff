"""What a run must have left: every message's rows once and as they should be, chains that verify, findings as
a replay gives them, one page an incident, and halts only where something was taken away."""

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec
from support.fault_run.arena import Arena
from support.fault_run.spool import Record
from support.fault_run.stream import PLANTED_S
from support.fault_run.workers import Worker
from support.running import auditfuse

from pipeline.audit.log import PartitionLog
from pipeline.audit.segment import open_parquet
from pipeline.audit.store import Store, open_store
from pipeline.clock import system_now_ms
from pipeline.config import load_config
from pipeline.prepare import Batch, Preparation
from pipeline.replay.recorded import recorded_findings
from pipeline.replay.report import Differing, same_report
from pipeline.replay.run import Span, replay
from pipeline.roles.ingest import build_preparation
from pipeline.topics.base import Message

BATCH = 500
SHOWN = 20
_INGESTED = re.compile(rb'"ingest_time_ms":\d+')
Identity = tuple[str, int, int, int]
"""Topic id, partition, offset, item."""


class Verdict(msgspec.Struct, kw_only=True):
    """The counts, and the first few of what is wrong in words."""

    messages: int = 0
    rows: int = 0
    lost: int = 0
    """Rows of the topic, findings and pages that are not there."""
    twice: int = 0
    """Rows, findings and pages that are there more than once."""
    changed: int = 0
    """Rows with another content than the message has."""
    unknown: int = 0
    """Rows that no message gave."""
    unverified: int = 0
    """What `auditfuse verify` complains of."""
    halts: int = 0
    halts_unexpected: int = 0
    given_up: int = 0
    """Offsets of accepted gaps: deleted from the topic by the run itself before they were sealed."""
    dead_letters: int = 0
    findings: int = 0
    incidents: int = 0
    pages: int = 0
    pages_repeated: int = 0
    """Deliveries of a page that had come already: at most one for each time that its sender was killed."""
    planted: int = 0
    planted_unfound: int = 0
    ended_unasked: int = 0
    wrong: list[str] = msgspec.field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        counts = (self.lost, self.twice, self.changed, self.unknown, self.unverified, self.halts_unexpected)
        return not any((*counts, self.planted_unfound, self.ended_unasked, len(self.wrong)))

    def complain(self, text: str) -> None:
        """Note something wrong, up to a limit."""
        if len(self.wrong) < SHOWN:
            self.wrong.append(text)


def judge(arena: Arena) -> Verdict:
    """Look at everything. The workers have ended."""
    verdict = Verdict()
    _judge_rows(arena, verdict)
    _judge_chains(arena, verdict)
    _judge_halts(arena, verdict)
    _judge_findings(arena, arena.watcher, verdict)
    _judge_pages(arena, arena.watcher, verdict)
    for worker in arena.workers:
        verdict.ended_unasked += len(worker.unexpected)
        for text in worker.unexpected:
            verdict.complain(text)
    return verdict


def _judge_rows(arena: Arena, verdict: Verdict) -> None:
    config = load_config(arena.regulars[0].folder / "auditfuse.toml")
    preparation = build_preparation(config, config.sources)
    store = Store(arena.store)
    known = set(arena.traffic.spools)
    for key in store.partitions():
        if not key[0].startswith("_") and key not in known:
            verdict.complain(f"{key} is in the store and was never a topic")
    for key, spool in arena.traffic.spools.items():
        acknowledged = arena.traffic.acknowledged[key]
        if acknowledged != spool.end:
            verdict.complain(f"{key}: {acknowledged} acknowledged, {spool.end} in the topic")
        stored = _stored(store, key, verdict)
        gaps = [(low, high) for *where, low, high in arena.accepted if tuple(where) == key]
        for identity, content in _expected(
            key, spool.records(), preparation, config.sources[0].name, verdict
        ):
            found = stored.pop(identity[2:], None)
            if found is None:
                if any(low <= identity[2] < high for low, high in gaps):
                    verdict.given_up += identity[3] == 0
                    continue
                verdict.lost += 1
                verdict.complain(f"lost: {identity}")
            elif found != content:
                verdict.changed += 1
                verdict.complain(f"changed: {identity}")
        verdict.unknown += len(stored)
        for place in list(stored)[:3]:
            verdict.complain(f"unknown: {key} {place}")


def _stored(store: Store, key: tuple[str, int], verdict: Verdict) -> dict[tuple[int, int], int]:
    """A hash of the content by (offset, item)."""
    found: dict[tuple[int, int], int] = {}
    for name in PartitionLog.open(store, *key).state.live:
        with store.open_segment(*key, name) as source:
            table = open_parquet(source).read(columns=["offset", "item", "kind", "meta", "payload"])
        for row in table.to_pylist():
            verdict.rows += 1
            verdict.dead_letters += row["kind"] == "dead_letter"
            place = (row["offset"], row["item"])
            if place in found:
                verdict.twice += 1
                verdict.complain(f"twice: {key} {place}")
            found[place] = _content(_bytes(row["meta"]), _bytes(row["payload"]))
    return found


def _expected(
    key: tuple[str, int], records: Iterator[Record], preparation: Preparation, source: str, verdict: Verdict
) -> Iterator[tuple[Identity, int]]:
    """The rows of each message by the same preparation, alone and undisturbed."""
    while batch := list(islice(records, BATCH)):
        verdict.messages += len(batch)
        messages = [Message(key[1], one.offset, one.time_ms, "append", None, one.value) for one in batch]
        rows = preparation(
            Batch(topic_id=key[0], partition=key[1], source=source, messages=messages, ingest_time_ms=0)
        )
        for row in rows:
            yield (*key, row.offset, row.item), _content(row.meta, row.payload)


def _content(meta: bytes, payload: bytes) -> int:
    return hash((_INGESTED.sub(b"", meta), payload))


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


def _judge_chains(arena: Arena, verdict: Verdict) -> None:
    done = auditfuse("verify", "--json", cwd=arena.regulars[0].folder, check=False)
    report = json.loads(done.stdout)
    verdict.unverified = len(report["faults"])
    if not report["holds"]:
        verdict.unverified = max(1, verdict.unverified)
        verdict.complain(f"verify: {report['faults'][:5]}")


def _judge_halts(arena: Arena, verdict: Verdict) -> None:
    expected = Counter((topic_id, partition, low) for topic_id, partition, low, _ in arena.accepted)
    for key in arena.traffic.spools:
        for entry in PartitionLog(Store(arena.store), *key).entries_after(-1):
            if entry.kind != "halt":
                continue
            verdict.halts += 1
            place = (*key, entry.end or 0)
            if not expected[place]:
                verdict.halts_unexpected += 1
                verdict.complain(f"halt: {place} {entry.reason}")
            expected[place] -= 1


def _judge_findings(arena: Arena, worker: Worker, verdict: Verdict) -> None:
    findings = list(_findings(Store(arena.store)))
    verdict.findings = len(findings)
    twice = [one for one, count in Counter(id_ for id_, _ in findings).items() if count > 1]
    verdict.twice += len(twice)
    for one in twice:
        verdict.complain(f"finding twice: {one}")
    for one in _differing(worker):
        verdict.lost += one.what == "extra"
        verdict.complain(f"finding {one.what} against a replay: {one.finding.summary}")
    found = {(one["agent_id"], one["detector"]) for _, one in findings}
    due = [one for one in arena.plants if one.onset_s + PLANTED_S < arena.traffic.reached_s]
    verdict.planted = len(due)
    for one in due:
        if (one.agent_id, one.detector) not in found:
            verdict.planted_unfound += 1
            verdict.complain(f"planted and not found: {one}")


def _differing(worker: Worker) -> list[Differing]:
    """What `auditfuse replay` tells."""
    config = load_config(worker.folder / "auditfuse.toml")
    store, span = open_store(config.store), Span(0, system_now_ms())
    (replayed,) = replay(store, [config.detect], span)
    return same_report(span, replayed, recorded_findings(store), config.detect.hash).differing


def _findings(store: Store) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in PartitionLog.open(store, "_findings", 0).state.live:
        with store.open_segment("_findings", 0, name) as source:
            table = open_parquet(source).read(columns=["kind", "id", "meta"])
        for row in table.to_pylist():
            if row["kind"] == "finding":
                yield row["id"], json.loads(row["meta"])["finding"]


def _judge_pages(arena: Arena, worker: Worker, verdict: Verdict) -> None:
    """Each incident is told once. The same page may come again where its sender died before it knew."""
    came = Counter(one["page_id"] for one in list(arena.webhook.requests))
    verdict.pages += len(came)
    verdict.pages_repeated += sum(count - 1 for count in came.values())
    with sqlite3.connect(worker.folder / "state.db") as connection:
        incidents = [row[0] for row in connection.execute("select incident_id from incidents")]
        told = connection.execute("select page_id, incident_id, change, told_in from pages").fetchall()
    verdict.incidents += len(incidents)
    arrived = [row for row in told if row[0] in came or row[3] in came]
    opened = Counter(incident for _, incident, change, _ in arrived if change == "opened")
    for incident in incidents:
        if not opened[incident]:
            verdict.lost += 1
            verdict.complain(f"{worker.name}: incident {incident} was never told")
        elif opened[incident] > 1:
            verdict.twice += 1
            verdict.complain(f"{worker.name}: incident {incident} was told {opened[incident]} times")
    for page_id in came.keys() - {row[0] for row in told} - {row[3] for row in told}:
        verdict.twice += 1
        verdict.complain(f"{worker.name}: page {page_id} is of no incident known")

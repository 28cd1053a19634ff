"""Of one trace: what keeps it, row by row, by the same judgement that thins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypedDict

from pipeline.audit.arrow import ParquetFile, Table, pc
from pipeline.audit.erase.live import each_live
from pipeline.audit.erase.thin_rows import ROUTINE, reason_text
from pipeline.audit.erase.thin_traces import Judge
from pipeline.audit.log import PartitionLog
from pipeline.audit.store import APPEND_PARTITIONS, Store


class ExplainedRow(TypedDict):
    """One row of a trace."""

    row: str
    """`<topic id>/<partition>/<offset>/<item>`."""
    agent_id: str
    action: str | None
    has_payload: bool
    reason: str
    """What keeps it by itself."""


class Explained(TypedDict):
    """What becomes of a trace."""

    trace_id: str
    is_kept: bool
    verdict: str
    rows: list[ExplainedRow]


def explain(store: Store, judge: Judge, trace_id: str) -> Explained | None:
    """Read every row of a trace. None where there is no event of it."""
    told: dict[str, ExplainedRow] = {}
    lowest = ROUTINE
    for topic_id, table in _tables(store, judge, trace_id):
        judged = judge.rows(topic_id, table)
        lowest = min([lowest, *judged["reason"].to_list()])
        told.update((row["row"], row) for one in judged.iter_rows(named=True) if (row := _row(topic_id, one)))
    if not told:
        return None
    rows = list(told.values())
    kept = lowest != ROUTINE
    if kept:
        verdict = f"it stays whole, because of {reason_text(lowest)}"
    else:
        gone = not any(row["has_payload"] for row in rows)
        verdict = (
            "its payloads were erased" if gone else "nothing keeps it: the next thinning takes its payloads"
        )
    return Explained(trace_id=trace_id, is_kept=kept, verdict=verdict, rows=rows)


def _tables(store: Store, judge: Judge, trace_id: str) -> Iterator[tuple[str, Table]]:
    for topic_id, partition in store.partitions():
        if topic_id in APPEND_PARTITIONS:
            continue
        columns = list(dict.fromkeys([*judge.columns(topic_id), "action", "payload"]))

        def read(name: str, file: ParquetFile, columns: list[str] = columns) -> Iterator[Table]:
            del name
            for group in range(file.num_row_groups):
                ids = file.read_row_group(group, columns=["trace_id"]).column("trace_id")
                mine = pc.fill_null(pc.equal(ids, trace_id), fill_value=False)
                if pc.any(mine).as_py():
                    yield file.read_row_group(group, columns=columns).filter(mine)

        for table in each_live(PartitionLog.open(store, topic_id, partition), read):
            yield topic_id, table


def _row(topic_id: str, row: dict[str, Any]) -> ExplainedRow:
    place = "/".join(str(row[name]) for name in ("partition", "offset", "item"))
    return ExplainedRow(
        row=f"{topic_id}/{place}",
        agent_id=row["agent_id"],
        action=row["action"],
        has_payload=bool(row["payload"]),
        reason=reason_text(row["reason"]),
    )

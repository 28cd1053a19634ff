"""`auditfuse explain`: why a finding was made, from what is stored with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from pipeline.commands.chosen_store import StoreOption, chosen_store
from pipeline.commands.times import as_text
from pipeline.errors import StoreError

if TYPE_CHECKING:
    from pipeline.audit.store import Store
    from pipeline.replay.recorded import Recorded
    from schemas.finding import FindingRow

SHOWN_EVENTS = 10
EVENT_COLUMNS = ("at", "trace_id", "session_id", "action", "action_kind", "outcome", "row")


def explain(
    finding: Annotated[str, typer.Argument(help="The finding's id, fnd_…; or an incident's, inc_….")],
    config: Annotated[
        Path | None, typer.Option("--config", help="The file; by default auditfuse.toml.")
    ] = None,
    store: StoreOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say why a finding was made: what is normal, what was seen, the rule or the e-value, the events, the
    query that lists them all, and the runbook.

    Everything but the events is stored with the finding. For an incident: all of its findings.

    Examples:

      auditfuse explain fnd_0f3c5a7e9b1d2f4a6c8e0b1d

      auditfuse explain inc_0f3c5a7e9b1d2f4a6c8e0b1d-1 --json
    """
    from pipeline.replay.recorded import recorded_findings

    chosen = chosen_store(store, config)
    recorded = recorded_findings(chosen)
    rows = [row for row in recorded.findings.values() if finding in (row.id, row.incident_id)]
    if not rows:
        raise StoreError(
            f"no finding {finding} is sealed in the store; its view `findings` lists those that are"
        )
    explained = [_explained(chosen, row, recorded) for row in rows]
    if as_json:
        typer.echo(json.dumps(explained[0] if finding == rows[0].id else explained, indent=2))
        return
    typer.echo("\n\n".join(_as_text(row, one) for row, one in zip(rows, explained, strict=True)))


def _explained(store: Store, row: FindingRow, recorded: Recorded) -> dict[str, Any]:
    import msgspec

    return msgspec.to_builtins(row) | {
        "withdrawn": row.id in recorded.withdrawn,
        "verdict": recorded.verdicts.get(row.incident_id),
        "events": _events(store, str(row.evidence.get("sql", ""))),
    }


def _events(store: Store, sql: str) -> list[dict[str, str]]:
    """The first events behind a finding, by its own query."""
    from pipeline.audit.query import QueryError, open_catalog

    # The query is the one that was stored with the finding; the catalog is open for reading alone.
    at = "strftime(make_timestamp(start_time_unix_nano // 1000), '%Y-%m-%d %H:%M:%S.%g') as at"
    row = 'concat_ws(\'/\', topic_id, "partition", "offset", item) as row'
    columns = f"{at}, trace_id, session_id, action, action_kind, outcome, {row}"
    shown = f"select {columns} from ({sql}) limit {SHOWN_EVENTS}"  # noqa: S608
    try:
        with open_catalog(store) as catalog:
            rows = [found for result in catalog.run(shown) for found in result.fetchall()]
    except QueryError:
        return []  # made by another version: the query is printed, and says itself what is wrong with it
    return [
        {name: "" if value is None else str(value) for name, value in zip(EVENT_COLUMNS, values, strict=True)}
        for values in rows
    ]


def _as_text(row: FindingRow, explained: Mapping[str, Any]) -> str:
    finding = row.finding
    learning = [str(one) for one in cast("list[object]", row.evidence.get("learning", []))]
    window = f"{as_text(finding.window_start_ms)} to {as_text(finding.window_end_ms)} UTC"
    lines = [
        f"{row.id}  {finding.detector} ({finding.kind}, {finding.severity})",
        finding.summary,
        "",
        f"agent       {finding.environment}/{finding.agent_id}",
        *(f"{name:<11} {value}" for name, value in sorted(finding.key.items())),
        f"window      {window}, in {finding.time_base} time",
        *(f"{name:<11} {value}" for name, value in finding.facts.items()),
        *([f"learning    {', '.join(learning)}: the floor watches meanwhile"] if learning else []),
        f"may trip    {'yes' if finding.may_trip else 'no'}{', late' if row.late else ''}",
        f"incident    {row.incident_id or 'none: found in shadow'}",
        f"verdict     {explained['verdict'] or 'nobody said'}",
    ]
    if explained["withdrawn"]:
        lines.append("withdrawn   it no longer holds")
    lines += ["", *_event_lines(explained["events"])]
    lines += ["", "All of them, for `auditfuse sql`:", f"  {row.evidence.get('sql', '')}"]
    lines += [f"Runbook: {finding.runbook}", f"Configuration: {finding.config_hash}"]
    return "\n".join(lines)


def _event_lines(events: list[dict[str, str]]) -> list[str]:
    if not events:
        return ["No event matches its query any more: they were erased, or are not sealed here."]
    return [
        "Events behind it:",
        *(
            f"  {one['at']}  {one['outcome']:<9} {one['action_kind']:<8} {one['action']}  "
            f"trace {one['trace_id'] or '-'}  row {one['row']}"
            for one in events
        ),
    ]

"""`auditfuse verify`: the whole store recomputed from disk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.audit.verify import VerifyReport

SHOWN_FAULTS = 50
"""So many faults are printed; `--json` lists more."""


def verify(
    store: Annotated[Path | None, typer.Option("--store", help="The store's directory.")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="The configuration file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON document.")] = False,
    columns: Annotated[
        bool, typer.Option(help="Compare the typed columns with the records too; without, it is faster.")
    ] = True,
) -> None:
    """Recompute every hash and link of the audit store and say what does not hold.

    Reads the files alone: no running auditfuse, no cache, no key is needed. Exits with 0 if every
    verdict holds, 1 if one does not; then each wrong row, segment or log entry is named.
    A store whose newest part was cut off as a whole, or that was rebuilt as a whole, holds in itself:
    only a checkpoint kept elsewhere shows that.

    Examples:

      auditfuse verify --store /var/lib/auditfuse/store

      auditfuse verify --json | jq .faults
    """
    import msgspec

    from pipeline.audit.verify import verify_store
    from pipeline.commands.store_path import store_path

    root = store_path(store, config)
    if sys.stderr.isatty() and not as_json:
        report = _with_progress(root, columns)
    else:
        report = verify_store(root, columns=columns)
    if as_json:
        document = msgspec.to_builtins(report) | {"holds": report.holds, "verdicts": report.verdicts()}
        typer.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
    else:
        typer.echo(as_text(report))
    if not report.holds:
        raise typer.Exit(1)


def as_text(report: VerifyReport) -> str:
    """The report for a person: a line a verdict, then the faults and notes."""
    rate = report.rows / report.seconds if report.seconds else 0.0
    lines = [
        f"Store {report.store}: {report.rows:,} rows in {report.segments:,} segments, {report.entries:,} log "
        f"entries, {report.partitions} partitions ({report.seconds:.1f} s, {rate:,.0f} rows/s)"
    ]
    for verdict, count in report.verdicts().items():
        lines.append(
            f"  {'holds' if not count else 'FAILS'}  {verdict}" + (f": {_counted(count)}" if count else "")
        )
    if not report.columns_checked:
        lines.append("  -      columns match the records: not asked for")
    for fault in report.faults[:SHOWN_FAULTS]:
        lines += [f"{fault.verdict}: {fault.place}", f"    {fault.how}"]
    unseen = len(report.faults) + report.faults_left_off - SHOWN_FAULTS
    if unseen > 0:
        lines.append(f"… and {unseen} more faults; --json lists them")
    lines += [f"note: {note.topic_id}/{note.partition}: {note.what}" for note in report.notes[:SHOWN_FAULTS]]
    lines.append("The audit trail holds." if report.holds else "The audit trail does NOT hold.")
    return "\n".join(lines)


def _counted(count: int) -> str:
    return "1 fault" if count == 1 else f"{count} faults"


def _with_progress(root: Path, columns: bool) -> VerifyReport:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from pipeline.audit.verify import verify_store

    parts = (TextColumn("verifying rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*parts, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rows", total=None)
        return verify_store(
            root, columns=columns, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )

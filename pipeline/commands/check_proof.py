"""`auditfuse verify --proof`: what a proof proves, said in words. Needs no store and no configuration."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pipeline.audit.proof.check import CheckedRow, ProofReport

_MEANING = {
    "row": "this meta and payload were sealed here and are unchanged",
    "row without payload": "this meta was sealed here and is unchanged; a payload of commitment cp stood "
    "with it, withheld or erased",
    "commitment": "a row of commitment c was sealed here; its content is not shown: withheld or erased",
}


def check_proof_file(path: Path, keys: Sequence[str], *, as_json: bool) -> None:
    """Print what the proof at `path` proves against public keys (texts or files); exits with 1 where it does
    not hold. Raises ConfigError, ProofError."""
    import msgspec

    from pipeline.audit.checkpoint.key import read_public_keys
    from pipeline.audit.proof.check import check_proof
    from pipeline.errors import ConfigError

    if not keys:
        raise ConfigError("a proof is checked against the public key of the trail: give it with --key")
    report = check_proof(path.read_bytes(), read_public_keys(keys))
    if as_json:
        document = {"proof": str(path), "holds": report.holds} | msgspec.to_builtins(report)
        typer.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
    else:
        typer.echo(as_text(report))
    if not report.holds:
        raise typer.Exit(1)


def as_text(report: ProofReport) -> str:
    """The report for a person: the checkpoint, a line a row, then the faults."""
    made = "at a time it does not say"
    if report.at_ms is not None:
        made = (
            f"made at {datetime.fromtimestamp(report.at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC by its clock"
        )
    by = " and ".join(report.keys)
    lines = [f"Checkpoint of {report.origin} over {report.size:,} log entries, {made}, signed by {by}"]
    for row in report.rows:
        lines += [f"proved: {_place(row)}", f"    {_MEANING[row.shown]}"]
    lines += [f"NOT proved: {fault}" for fault in report.faults]
    lines.append("The proof holds." if report.holds else "The proof does NOT hold.")
    return "\n".join(lines)


def _place(row: CheckedRow) -> str:
    return f"{row.topic_id}/{row.partition} offset {row.offset} item {row.item}"

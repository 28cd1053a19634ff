"""`auditfuse verify`: the whole store recomputed from disk."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from pipeline.commands.chosen_store import StoreOption, chosen_store
from pipeline.commands.options import ConfigOption
from pipeline.commands.times import time_ms

if TYPE_CHECKING:
    from pipeline.audit.checkpoint.note import PublicKey
    from pipeline.audit.store import Store
    from pipeline.audit.verify import Outcome, VerifyReport, Wanted

SHOWN_FAULTS = 50
"""So many faults are printed; `--json` lists more."""
_PARTITION = re.compile(r"(.+)/(\d+)")

Since = Annotated[
    str | None,
    typer.Option("--since", help="Only rows of files that end at or after this time (ISO 8601, UTC)."),
]
Partitions = Annotated[
    list[str] | None,
    typer.Option("--partition", help="Only rows of this partition: TOPIC_ID/NUMBER. May be repeated."),
]
Anchors = Annotated[
    list[str] | None,
    typer.Option(
        "--anchor",
        help="Checkpoints kept outside of the store: a directory of notes, a file, or - for standard "
        "input. May be repeated.",
    ),
]
PublicKeys = Annotated[
    list[str] | None,
    typer.Option("--key", help="A public key of the trail, or a file of them. May be repeated."),
]

Columns = Annotated[
    bool, typer.Option(help="Compare the typed columns with the records too; without, it is faster.")
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes; by default one a core if worth it.")
]
Proof = Annotated[
    Path | None, typer.Option("--proof", help="Check this proof instead of a store; needs --key.")
]


def verify(
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON document.")] = False,
    columns: Columns = True,
    since: Since = None,
    partition: Partitions = None,
    anchor: Anchors = None,
    key: PublicKeys = None,
    workers: Workers = None,
    proof: Proof = None,
) -> None:
    """Recompute every hash and link of the audit store and say what does not hold.

    Reads the files alone: no running auditfuse and no cache is needed. Each verdict holds, fails or was not
    checked; docs/verification.md says what each means. Exits with 0 if none fails, 1 if one does; then each
    wrong row, segment, log entry or checkpoint is named.

    A store whose newest part was cut off as a whole, or that was rebuilt as a whole, holds in itself: only
    --anchor, a checkpoint kept elsewhere, shows that. Without --key and --anchor, the keys and the anchors'
    directories are those of the configuration. With --since or --partition the rows of other files are left
    out; logs, links and checkpoints are verified as a whole all the same.

    Examples:

      auditfuse verify --store /var/lib/auditfuse/store

      auditfuse verify --anchor /mnt/elsewhere/checkpoints --key trail.pub

      auditfuse verify --since 2026-11-01 --json | jq .faults

      auditfuse verify --proof proof.json --key trail.pub
    """
    if proof is not None:
        from pipeline.commands.check_proof import check_proof_file

        check_proof_file(proof, key or [], as_json=as_json)
        return
    trusted = _trusted(key or [], anchor or [], store, config)
    wanted = _wanted(trusted, columns=columns, since=since, partitions=partition)
    shows_progress = sys.stderr.isatty() and not as_json
    report = _report(chosen_store(store, config), wanted, workers, shows_progress=shows_progress)
    typer.echo(_as_json(report) if as_json else as_text(report))
    if not report.holds:
        raise typer.Exit(1)


def _wanted(
    trusted: Trusted, *, columns: bool, since: str | None, partitions: Sequence[str] | None
) -> Wanted:
    from pipeline.audit.verify import Wanted

    return Wanted(
        columns=columns,
        since_ms=None if since is None else time_ms(since, "--since"),
        partitions=_partitions(partitions) if partitions else None,
        keys=trusted.keys,
        anchors=trusted.anchors,
    )


def _partitions(texts: Sequence[str]) -> frozenset[tuple[str, int]]:
    from pipeline.errors import ConfigError

    matches = [_PARTITION.fullmatch(text) for text in texts]
    if not all(matches):
        raise ConfigError("--partition takes a topic id and a number, like agent-events.<32 hex>/0")
    return frozenset((match[1], int(match[2])) for match in matches if match)


class Trusted(NamedTuple):
    """What signatures and anchors are checked by."""

    keys: Sequence[PublicKey]
    anchors: Sequence[bytes]


def _trusted(keys: Sequence[str], anchors: Sequence[str], store: str | None, config: Path | None) -> Trusted:
    """The keys and the anchors' notes that are named, else those of the configuration, where one is read."""
    from pipeline.audit.checkpoint.key import read_public_keys, trusted_keys
    from pipeline.audit.verify.anchors import read_anchors

    if store is not None and config is None:
        return Trusted(read_public_keys(keys), read_anchors(anchors))
    from pipeline.config import load_config

    loaded = load_config(config)
    folders = [one.path for one in loaded.checkpoint.anchors if one.kind == "directory"]
    configured = [str(path) for path in folders if any(path.glob("*.note"))]
    return Trusted(
        read_public_keys(keys) if keys else trusted_keys(loaded.checkpoint, loaded.keys.path),
        read_anchors(anchors or configured),
    )


def _as_json(report: VerifyReport) -> str:
    import msgspec

    document = msgspec.to_builtins(report) | {"holds": report.holds}
    return msgspec.json.format(msgspec.json.encode(document)).decode()


def as_text(report: VerifyReport) -> str:
    """The report for a person: a line a verdict with what it rests on, then the faults and notes."""
    rate = report.rows / report.seconds if report.seconds else 0.0
    lines = [
        f"Store {report.store}: {report.rows:,} rows in {report.segments:,} segments, {report.entries:,} log "
        f"entries, {report.partitions} partitions ({report.seconds:.1f} s, {rate:,.0f} rows/s)"
    ]
    for outcome in report.outcomes:
        lines.append(f"  {outcome.state:<11}  {outcome.verdict}{_explained(outcome)}")
        lines += [f"               {detail}" for detail in outcome.details]
    lines += [f"left out: {left_out}" for left_out in report.left_out]
    for fault in report.faults[:SHOWN_FAULTS]:
        lines += [f"{fault.verdict}: {fault.place}", f"    {fault.how}"]
    unseen = len(report.faults) + report.faults_left_off - SHOWN_FAULTS
    if unseen > 0:
        lines.append(f"… and {unseen} more faults; --json lists them")
    lines += [f"note: {note.topic_id}/{note.partition}: {note.what}" for note in report.notes[:SHOWN_FAULTS]]
    lines.append(_conclusion(report))
    return "\n".join(lines)


def _explained(outcome: Outcome) -> str:
    if outcome.faults:
        return ": 1 fault" if outcome.faults == 1 else f": {outcome.faults:,} faults"
    return f": {outcome.why}" if outcome.state == "not checked" else ""


def _conclusion(report: VerifyReport) -> str:
    if not report.holds:
        return "The audit trail does NOT hold."
    unchecked = [outcome.verdict for outcome in report.outcomes if outcome.state == "not checked"]
    if report.left_out or unchecked:
        return "The audit trail holds as far as it was checked."
    return "The audit trail holds."


def _report(store: Store, wanted: Wanted, workers: int | None, *, shows_progress: bool) -> VerifyReport:
    from pipeline.audit.verify import verify_store

    if not shows_progress:
        return verify_store(store, wanted, workers=workers)
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    parts = (TextColumn("verifying rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*parts, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rows", total=None)
        return verify_store(
            store,
            wanted,
            workers=workers,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )

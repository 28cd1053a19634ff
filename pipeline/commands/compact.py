"""`auditfuse compact`: merge small segments now, as the worker does in the background."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.chosen_store import StoreOption

if TYPE_CHECKING:
    from pipeline.audit.compact import CompactReport
    from pipeline.audit.store import StoreConfig


def compact(
    config: Annotated[
        Path | None, typer.Option("--config", help="The file; by default auditfuse.toml.")
    ] = None,
    store: StoreOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Merge small segments until none is due, delete replaced files past their grace period, bundle old
    log entries that a checkpoint covers, and make opening the store fast.

    The files of an hour that is over become one, those of a day that is over files of the target size.
    Safe while `auditfuse run` writes and while people query.

    Examples:

      auditfuse compact

      auditfuse compact --store /srv/audit --json
    """
    from pipeline.config import load_config

    settings = load_config(config, store=store).store
    report = _with_progress(settings) if sys.stderr.isatty() and not as_json else _run(settings)
    if as_json:
        typer.echo(json.dumps(report._asdict()))
    else:
        typer.echo(
            f"Merged {report.merged} segments into {report.made}; deleted {report.deleted} files; bundled "
            f"{report.bundled} log entries. Replaced files stay for {settings.superseded_grace_s} s, so that "
            "running queries finish."
        )


def _run(
    settings: StoreConfig, progress: Callable[[CompactReport, int, int], None] | None = None
) -> CompactReport:
    from pipeline.audit.compact import compact_store
    from pipeline.audit.store import open_store
    from pipeline.clock import system_now_ms

    return compact_store(open_store(settings), settings, now_ms=system_now_ms, progress=progress)


def _with_progress(settings: StoreConfig) -> CompactReport:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    parts = (TextColumn("partitions"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*parts, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(report: CompactReport, done: int, total: int) -> None:
            told = f"{report.merged} segments merged, {report.deleted} files deleted"
            bar.update(task, completed=done, total=total, description=told)

        return _run(settings, show)

"""`auditfuse compact`: merge small segments now, as the worker does in the background."""

import json
from pathlib import Path
from typing import Annotated

import typer


def compact(
    config: Annotated[
        Path | None, typer.Option("--config", help="The file; by default auditfuse.toml.")
    ] = None,
    store: Annotated[Path | None, typer.Option("--store", help="The store's directory.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Merge small segments until none is due, and delete replaced files past their grace period.

    Safe while `auditfuse run` writes and while people query.

    Examples:

      auditfuse compact

      auditfuse compact --store /srv/audit --json
    """
    from pipeline.audit.compact import compact_store
    from pipeline.audit.store import Store
    from pipeline.clock import system_now_ms
    from pipeline.config import load_config

    settings = load_config(config, store=store).store
    report = compact_store(Store(settings.path), settings, now_ms=system_now_ms)
    if as_json:
        typer.echo(json.dumps(report._asdict()))
    else:
        typer.echo(
            f"Merged {report.merged} segments into {report.made}; deleted {report.deleted} files. "
            f"Replaced files stay for {settings.superseded_grace_s} s, so that running queries finish."
        )

"""`auditfuse thin`: routine payloads that are due, looked at or thinned now."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.commands.chosen_store import StoreOption

if TYPE_CHECKING:
    from pipeline.audit.erase.thin_traces import Slice
    from pipeline.audit.erase.thinning import OnSlice, Thinned, Thinning
    from pipeline.config import Config


def thin(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")
    ] = False,
    trace: Annotated[
        str | None,
        typer.Option(
            "--trace", help="Say of one trace, by its id, why its payloads are kept. Changes nothing."
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="The file; by default auditfuse.toml.")
    ] = None,
    store: StoreOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Erase the payloads of routine traces that are due by the rules of `thinning`, as `auditfuse run` does.

    Whole traces go or stay; metadata always stays. Errors, refusals and time-outs, external actions,
    canaries, what a source may not speak for, traces of incidents and what a legal hold keeps are never
    thinned; nor is what detection has not seen. Exits with 1 if a copy was out of reach.

    Examples:

      auditfuse thin --dry-run

      auditfuse thin --trace 0af7651916cd43dd8448eb211c80319c
    """
    from pipeline.config import load_config
    from pipeline.errors import ConfigError

    settings = load_config(config, store=store)
    if not settings.thinning.rules:
        raise ConfigError("nothing is thinned: there is no [[thinning.rules]] in the configuration")
    with _thinning(settings) as thinning:
        if trace is not None:
            _explain(thinning, trace, as_json)
            return
        with _progress(as_json) as on_slice:
            done = (thinning.plan if dry_run else thinning.apply)(on_slice)
    _report(done, dry_run, as_json)
    if done.out_of_reach and not dry_run:
        raise typer.Exit(1)


@contextmanager
def _thinning(settings: Config) -> Generator[Thinning]:
    from pipeline.audit.erase.thin_runner import new_thinning
    from pipeline.audit.store import open_store
    from pipeline.clock import system_now_ms
    from pipeline.keys import Keys
    from pipeline.respond.state import StateDatabase

    store = open_store(settings.store)
    store.require()
    state = StateDatabase(settings.state, settings.respond)
    try:
        yield new_thinning(settings, store, Keys(settings.keys.path), state, system_now_ms)
    finally:
        state.close()


@contextmanager
def _progress(as_json: bool) -> Generator[OnSlice]:
    """On a terminal, how far it has come in broker time."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    hidden = as_json or not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=hidden) as bar:
        task = bar.add_task("Looking through the store", total=None)
        first_ms: list[int] = []

        def on_slice(part: Slice, limit_ms: int, done: Thinned) -> None:
            first_ms.append(part.from_ms)
            said = f"{done.payloads:,} payloads, {_size(done.payload_bytes)}"
            total, come = limit_ms - first_ms[0], part.before_ms - first_ms[0]
            bar.update(task, description=said, total=total, completed=come)

        yield on_slice


def _report(done: Thinned, dry_run: bool, as_json: bool) -> None:
    if as_json:
        document: dict[str, Any] = {
            "executed": not dry_run,
            "payloads": done.payloads,
            "payload_bytes": done.payload_bytes,
            "kept_rows": dict(done.kept.most_common()),
            "erasures": done.erasures,
            "out_of_reach": done.out_of_reach,
        }
        typer.echo(json.dumps(document))
        return
    verb = "Would thin" if dry_run else "Thinned"
    typer.echo(f"{verb} {done.payloads:,} payloads, {_size(done.payload_bytes)} of text before compression.")
    for reason, rows in done.kept.most_common():
        typer.echo(f"  kept whole, {reason}: {rows:,} rows")
    for missed in done.out_of_reach:
        typer.echo(f"Out of reach: {missed}.")


def _explain(thinning: Thinning, trace: str, as_json: bool) -> None:
    from pipeline.errors import StoreError

    told = thinning.explain(trace)
    if told is None:
        raise StoreError(f"no event of trace {trace} is sealed in the store")
    if as_json:
        typer.echo(json.dumps(told))
        return
    typer.echo(f"Trace {trace}: {told['verdict']}.")
    for row in told["rows"]:
        payload = "payload kept" if row["has_payload"] else "no payload"
        typer.echo(f"  {row['row']}  {row['agent_id']}  {row['action'] or '-'}  {payload}; {row['reason']}")


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"

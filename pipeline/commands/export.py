"""`auditfuse export`: a folder for an auditor."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.chosen_store import StoreOption, chosen_store
from pipeline.commands.times import time_ms
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.audit.checkpoint.note import PublicKey
    from pipeline.audit.export.run import Manifest, Progress


Out = Annotated[Path, typer.Argument(metavar="OUT_DIR", help="The folder to make.")]
FromTime = Annotated[
    str, typer.Option("--from", help="From this time on: ISO 8601, UTC where no zone is given.")
]
ToTime = Annotated[str, typer.Option("--to", help="Up to this time, which is not included.")]
Agent = Annotated[str | None, typer.Option("--agent", help="Rows of this agent alone.")]
Environment = Annotated[str | None, typer.Option("--environment", help="Rows of this environment alone.")]
WithPayload = Annotated[
    bool,
    typer.Option(
        "--with-payload/--without-payload",
        help="Take input, output and attributes along, or prove the same rows without them.",
    ),
]
Keys = Annotated[
    list[str] | None,
    typer.Option("--key", help="Public keys of the trail, or files of them; by default the configured."),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="The configuration file.")]
Json = Annotated[bool, typer.Option("--json", help="Print the manifest as one JSON document.")]


def export(
    out: Out,
    from_time: FromTime,
    to_time: ToTime,
    agent: Agent = None,
    environment: Environment = None,
    payload: WithPayload = True,
    key: Keys = None,
    store: StoreOption = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Write the rows of an interval and all that proves them to one folder that an auditor can check alone.

    Rows as Parquet, proofs, log entries, the signed checkpoint, the public keys, SQL and a short script that
    check all of it, and a page that says what each part proves and which controls it serves.
    Exits with 1 where there is no such row, or no checkpoint covers one yet.

    Examples:

      auditfuse export --from 2026-11-01 --to 2026-12-01 ./november

      auditfuse export --from 2026-11-21T09:00 --to 2026-11-21T10:00 --agent invoice-agent ./incident
    """
    from pipeline.audit.export.run import export as make_export
    from pipeline.audit.export.selection import Selection

    selection = Selection(
        from_ms=time_ms(from_time, "--from"),
        to_ms=time_ms(to_time, "--to"),
        agent=agent,
        environment=environment,
    )
    if selection.from_ms >= selection.to_ms:
        raise ConfigError("--from is not before --to: there is no time between them")
    chosen, keys = chosen_store(store, config), _public_keys(key or [], store, config)

    def run(progress: Progress | None) -> Manifest:
        return make_export(chosen, selection, out, keys, with_payload=payload, progress=progress)

    manifest = _with_progress(run) if sys.stderr.isatty() and not as_json else run(None)
    _tell(manifest, out, as_json)


def _tell(manifest: Manifest, out: Path, as_json: bool) -> None:
    if as_json:
        import msgspec

        typer.echo(msgspec.json.format(msgspec.json.encode(manifest)).decode())
        return
    typer.echo(
        f"{manifest.rows:,} rows ({manifest.erased_rows:,} erased) of {manifest.segments:,} segments are "
        f"in {out}, under checkpoint {manifest.size} of {manifest.origin}. README.md there says how to "
        "check it."
    )


def _public_keys(sources: list[str], store: str | None, config: Path | None) -> list[PublicKey]:
    from pipeline.audit.checkpoint.key import read_public_keys, trusted_keys
    from pipeline.config import load_config

    if sources:
        return read_public_keys(sources)
    loaded = load_config(config, store=store)
    return trusted_keys(loaded.checkpoint, loaded.keys.path)


def _with_progress(run: Callable[[Progress | None], Manifest]) -> Manifest:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    parts = (TextColumn("reading rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*parts, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rows", total=None)
        return run(lambda done, total: bar.update(task, completed=done, total=total))

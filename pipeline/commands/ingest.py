"""`auditfuse ingest`: event files through the whole pipeline, to the end."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.chosen_store import StoreOption
from pipeline.files import FileFormat


def ingest(
    files: Annotated[list[Path], typer.Argument(help="NDJSON or OTLP files; gzip too.")],
    file_format: Annotated[
        FileFormat | None, typer.Option("--format", help="By default each file's content decides.")
    ] = None,
    store: StoreOption = None,
    config: Annotated[Path | None, typer.Option("--config", help="By default auditfuse.toml.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Report as one JSON document.")] = False,
) -> None:
    """Load event files: decode, redact, seal, detect and page, until every row is sealed.

    A file is history: what is found in it is recorded and paged, and never trips the kill switch.
    Loading a file again is safe: its events are kept and counted once.

    Examples:

      auditfuse ingest events.ndjson.gz

      auditfuse ingest --format otlp-json --store ./store traces.ndjson
    """
    import json

    from pipeline.config import load_config
    from pipeline.ingest import ingest_files
    from pipeline.logs import LogConfig, configure_logs

    loaded = load_config(config, store=store)
    configure_logs(LogConfig(format=loaded.log.format, level="warning"))
    report = ingest_files(loaded, files, file_format)
    if as_json:
        typer.echo(json.dumps(report._asdict()))
        return
    typer.echo(
        f"{report.messages:,} messages gave {report.rows:,} rows in {report.store} "
        f"({report.dead_letters:,} dead letters, {report.findings:,} findings) in {report.seconds:.1f} s."
    )
    typer.echo(f'Try: auditfuse sql --store {report.store} "select count(*) from events"')  # noqa: S608

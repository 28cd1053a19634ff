"""`auditfuse run`: everything, in one process, until SIGTERM."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    config: Annotated[
        Path | None, typer.Option("--config", help="The configuration; by default auditfuse.toml.")
    ] = None,
) -> None:
    """Read the sources, redact, seal, detect, page, and serve the kill switch, until stopped.

    SIGTERM and Ctrl-C drain: what was read is sealed before the process ends.

    Example:

      auditfuse run --config auditfuse.toml
    """
    from pipeline.config import load_config
    from pipeline.detect.guard import OwnDetectors
    from pipeline.errors import ConfigError
    from pipeline.logs import configure_logs
    from pipeline.service import serve

    loaded = load_config(config)
    if not loaded.sources:
        raise ConfigError(
            "there is nothing to read: add a [[sources]] entry to auditfuse.toml "
            "(the README has one to copy), or load files with: auditfuse ingest FILE"
        )
    OwnDetectors(loaded.detect)  # a mistake in one must not come to light once the sources are read
    configure_logs(loaded.log)
    serve(loaded)

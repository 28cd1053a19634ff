"""`auditfuse run`: the roles of one process, until SIGTERM. By default all of them."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    config: Annotated[
        Path | None, typer.Option("--config", help="The configuration; by default auditfuse.toml.")
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(
            "--role",
            help="ingest, detect, respond or control; several with commas. By default all of them.",
        ),
    ] = None,
    reshard: Annotated[
        bool,
        typer.Option(
            "--reshard",
            help="Detect though detection was shared out otherwise before. No other process may detect now.",
        ),
    ] = False,
) -> None:
    """Read the sources, redact, seal, detect, page, and serve the kill switch, until stopped.

    Beyond one machine each process takes some of these roles: ingest reads and seals, detect finds and
    trips, respond pages (on one member at a time), control serves the kill switch.

    SIGTERM and Ctrl-C drain: what was read is sealed before the process ends.

    Examples:

      auditfuse run --config auditfuse.toml

      auditfuse run --role detect,respond --config auditfuse.toml
    """
    from pipeline.config import load_config
    from pipeline.detect.guard import OwnDetectors
    from pipeline.errors import ConfigError
    from pipeline.logs import configure_logs
    from pipeline.roles.role import roles_of
    from pipeline.service import serve

    loaded, roles = load_config(config), roles_of(role or [])
    if "ingest" in roles and not loaded.sources:
        raise ConfigError(
            "there is nothing to read: add a [[sources]] entry to auditfuse.toml "
            "(the README has one to copy), or load files with: auditfuse ingest FILE"
        )
    if "detect" in roles:
        OwnDetectors(loaded.detect)  # a mistake in one must not come to light once the sources are read
    configure_logs(loaded.log)
    serve(loaded, roles, reshards=reshard)

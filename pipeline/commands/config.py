"""`auditfuse config check`: every mistake in the configuration, by file, key and reason."""

import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Check the configuration.", no_args_is_help=True)


@app.callback()
def config() -> None:
    """Check the configuration."""


@app.command()
def check(
    config: Annotated[
        Path | None, typer.Option("--config", help="The file; by default auditfuse.toml.")
    ] = None,
) -> None:
    """Read the configuration and say of each mistake where it is, which key, and why.

    Also looks up what the configuration points at: environment variables of page targets, whether what a
    store in a bucket needs is installed, and whether redaction's types and patterns are possible. Warns of
    secrets that would be kept. Sends nothing.

    Example:

      auditfuse config check --config auditfuse.toml
    """
    from pipeline.audit.store import open_store
    from pipeline.config import load_config
    from pipeline.errors import ConfigError
    from pipeline.redact.policy import check_rules
    from pipeline.respond.pager import ApprisePager

    loaded = load_config(config)
    missing = [t.url_env for t in loaded.respond.targets if t.url_env and not os.environ.get(t.url_env)]
    if missing:
        raise ConfigError(f"respond.targets: environment variables not set: {', '.join(missing)}")
    kinds = ", ".join(f"{source.name} ({source.kind} topic {source.topic})" for source in loaded.sources)
    ApprisePager(loaded.respond).check()
    open_store(loaded.store)
    check_rules(loaded.redaction)
    typer.echo(f"The configuration holds. Sources: {kinds or 'none'}.")
    if not loaded.sources:
        typer.echo("There is no [[sources]] entry yet: `auditfuse run` would have nothing to read.")

"""`auditfuse config check`: every mistake in the configuration, by file, key and reason."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.config import Config

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
    store in a bucket needs is installed, whether redaction's types and patterns are possible, the policy
    file, and detectors of your own, whose modules it runs. Warns of secrets that would be kept, and of rules
    of the policy that cover no agent of any source. Sends nothing.

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
    _check_detection(loaded)
    typer.echo(f"The configuration holds. Sources: {kinds or 'none'}.")
    if not loaded.sources:
        typer.echo("There is no [[sources]] entry yet: `auditfuse run` would have nothing to read.")


def _check_detection(loaded: Config) -> None:
    from pipeline.detect.policy_check import warnings

    if loaded.detect.modules or loaded.detect.own:
        from pipeline.detect.guard import OwnDetectors  # polars, which a plain configuration does not need

        OwnDetectors(loaded.detect)
    place = loaded.detect.policy_file or "detect.policy"
    for warning in warnings(loaded.detect.policy, loaded.sources):
        typer.echo(f"WARNING: {place}: {warning}", err=True)

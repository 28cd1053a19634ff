"""`auditfuse page test TARGET`: does a page arrive?"""

import json
import secrets
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Try the targets of pages.", no_args_is_help=True)


@app.callback()
def page() -> None:
    """Try the targets of pages."""


@app.command()
def test(
    target: Annotated[str, typer.Argument(help="The target's name in the configuration, or console.")],
    config: Annotated[
        Path | None, typer.Option("--config", help="The file; by default auditfuse.toml.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Send a sample page to one target and say whether it took it.

    Examples:

      auditfuse page test console

      auditfuse page test oncall --config auditfuse.toml
    """
    from pipeline.clock import system_now_ms
    from pipeline.config import load_config
    from pipeline.errors import ConfigError
    from pipeline.respond.page import sample
    from pipeline.respond.pager import ApprisePager

    respond = load_config(config).respond
    names = [configured.name for configured in respond.all_targets()]
    if target not in names:
        raise ConfigError(f"there is no page target {target}; configured are: {', '.join(names)}")
    sent = ApprisePager(respond).send(target, sample(f"test/{secrets.token_hex(4)}", system_now_ms()))
    if as_json:
        typer.echo(json.dumps({"target": target, "outcome": sent.outcome, "error": sent.error}))
    elif sent.outcome == "sent":
        typer.echo(f"{target} took the test page. Look whether a person can see it.")
    else:
        typer.echo(f"{target} did not take the test page: {sent.error}", err=True)
    if sent.outcome != "sent":
        raise typer.Exit(2 if sent.outcome == "misconfigured" else 1)

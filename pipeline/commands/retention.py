"""`auditfuse retention`: the retention rules, looked at or applied now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.commands.chosen_store import StoreOption

if TYPE_CHECKING:
    from pipeline.audit.erase.retention import Retention
    from pipeline.config import Config

app = typer.Typer(help="Look at the retention rules, or apply them.", no_args_is_help=True)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The file; by default auditfuse.toml.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def plan(config: ConfigOption = None, store: StoreOption = None, as_json: Json = False) -> None:
    """Show what is due by each rule. Changes nothing.

    Example:

      auditfuse retention plan
    """
    from pipeline.audit.erase.scope import scope_text
    from pipeline.config import load_config

    settings = load_config(config, store=store)
    found: list[dict[str, Any]] = []
    for request, outcome in _retention(settings).plan():
        scope = scope_text(request.predicate.scope)
        counts = {"rows": outcome.rows, "payloads": outcome.payloads, "held_rows": outcome.total.held}
        found.append({"rule": request.reason, "scope": scope, **counts})
    if as_json:
        typer.echo(json.dumps(found))
        return
    for rule in found:
        typer.echo(
            f"{rule['rule']}: {rule['rows']} rows, {rule['payloads']} payloads due; {rule['held_rows']} held "
            f"({rule['scope']})"
        )
    if not found:
        typer.echo("No [[retention]] rule is configured: everything is kept.")


@app.command()
def apply(config: ConfigOption = None, store: StoreOption = None, as_json: Json = False) -> None:
    """Erase what is due now, as `auditfuse run` does by itself.

    Exits with 1 if a copy was out of reach.

    Example:

      auditfuse retention apply
    """
    from pipeline.config import load_config

    outcomes = _retention(load_config(config, store=store)).apply()
    if as_json:
        fields = ("erasure", "rows", "payloads")
        documents = [{name: getattr(o, name) for name in fields} for o in outcomes]
        for document, outcome in zip(documents, outcomes, strict=True):
            document["out_of_reach"] = outcome.reached.out_of_reach
        typer.echo(json.dumps(documents))
    for outcome in [] if as_json else outcomes:
        typer.echo(f"Erasure {outcome.erasure}: {outcome.rows} rows, {outcome.payloads} payloads.")
        for missed in outcome.reached.out_of_reach:
            typer.echo(f"Out of reach: {missed}.")
    if not outcomes and not as_json:
        typer.echo("Nothing is due.")
    if any(outcome.reached.out_of_reach for outcome in outcomes):
        raise typer.Exit(1)


def _retention(settings: Config) -> Retention:
    from pipeline.audit.erase.retention import Retention
    from pipeline.clock import system_now_ms
    from pipeline.commands.erase import eraser_of

    return Retention(eraser_of(settings), settings.retention, now_ms=system_now_ms)

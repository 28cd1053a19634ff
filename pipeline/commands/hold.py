"""`auditfuse hold`: keep rows from erasure and retention while a case is open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.chosen_store import StoreOption, chosen_store

if TYPE_CHECKING:
    from pipeline.config import Config
    from schemas.erasure import Hold, Scope

app = typer.Typer(help="Keep rows from erasure and retention.", no_args_is_help=True)

By = Annotated[str, typer.Option("--by", help="Who decides; kept in the audit trail.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the audit trail.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="The file; by default auditfuse.toml.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def place(
    *,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            help="KEY=VALUE: topic, environment, agent, trace, session, end-user (a pseudonym), from, to. "
            "Repeat it: rows match all of them together.",
        ),
    ] = None,
    value_file: Annotated[
        Path | None,
        typer.Option(
            "--value-file",
            help="A file with one raw value a line; its pseudonyms are held, not what was missed.",
        ),
    ] = None,
    by: By,
    reason: Reason,
    config: ConfigOption = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Hold what matches: neither `auditfuse erase` nor retention touches it until the hold is lifted.

    Examples:

      auditfuse hold place --where agent=invoice-agent --where from=2026-01-01 --by legal --reason "case 12"

      auditfuse hold place --value-file person.txt --by legal --reason "case 12/26"
    """
    from pipeline.audit.erase.holds import place_hold
    from pipeline.audit.store import open_store
    from pipeline.clock import system_now_ms
    from pipeline.commands.reason import fit_texts
    from pipeline.config import load_config

    settings = load_config(config, store=store)
    scope = _scope(where or [], value_file, settings)
    by, reason = fit_texts(settings, by, reason)
    row = place_hold(
        open_store(settings.store),
        scope,
        by=by,
        reason=reason,
        now_ms=system_now_ms,
    )
    _show([row], as_json)


@app.command()
def lift(
    hold: Annotated[str, typer.Argument(help="The hold's id.")],
    *,
    by: By,
    reason: Reason,
    config: ConfigOption = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """End a hold: what it kept may be erased again, and retention takes it at its next pass.

    Example:

      auditfuse hold lift 5f0c2d7be1a94c33 --by legal --reason "case 12/26 is closed"
    """
    from pipeline.audit.erase.holds import lift_hold
    from pipeline.audit.store import open_store
    from pipeline.clock import system_now_ms
    from pipeline.commands.reason import fit_texts
    from pipeline.config import load_config

    settings = load_config(config, store=store)
    by, reason = fit_texts(settings, by, reason)
    row = lift_hold(
        open_store(settings.store),
        hold,
        by=by,
        reason=reason,
        now_ms=system_now_ms,
    )
    _show([row], as_json)


@app.command("list")
def list_holds(config: ConfigOption = None, store: StoreOption = None, as_json: Json = False) -> None:
    """Show the holds in force.

    Example:

      auditfuse hold list
    """
    from pipeline.audit.erase.holds import holds_in_force

    rows = holds_in_force(chosen_store(store, config))
    _show(rows, as_json)
    if not rows and not as_json:
        typer.echo("No hold is in force.")


def _scope(where: list[str], value_file: Path | None, settings: Config) -> Scope:
    import msgspec

    from pipeline.audit.erase.scope import parse_scope
    from pipeline.audit.erase.values import needles, read_values
    from pipeline.keys import Keys

    scope = parse_scope(where)
    if value_file is None:
        return scope
    values, warning = read_values(value_file)
    if warning:
        typer.echo(f"warning: {warning}", err=True)
    held = needles(values, settings.redaction, Keys(settings.keys.path)).pseudonyms
    return msgspec.structs.replace(scope, pseudonyms=list(held))


def _show(rows: list[Hold], as_json: bool) -> None:
    import msgspec

    from pipeline.audit.erase.scope import scope_text

    if as_json:
        typer.echo(json.dumps([msgspec.to_builtins(row) for row in rows]))
        return
    for row in rows:
        what = f"holds {scope_text(row.scope)}" if row.scope else "is lifted"
        typer.echo(f"{row.hold} {what}; by {row.by}: {row.reason}")

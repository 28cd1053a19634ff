"""`auditfuse incidents list|show|ack|resolve|link|export`: what is wrong now, and who has taken it on."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.commands.chosen_store import StoreOption
from pipeline.commands.incident_export import export
from pipeline.commands.incident_link import link
from pipeline.commands.who import who

if TYPE_CHECKING:
    from pipeline.commands.incident_look import Looked
    from pipeline.respond.state import StateDatabase
    from schemas.incident import Incident

app = typer.Typer(help="See incidents, take them on, close them.", no_args_is_help=True)
ConfigOption = Annotated[Path | None, typer.Option("--config", help="The file; by default auditfuse.toml.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ByOption = Annotated[str | None, typer.Option("--by", help="Your name; by default the login name.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is kept in the audit store.")]


class VerdictName(StrEnum):
    """What an incident was."""

    REAL = "real"
    FALSE = "false"
    EXPECTED = "expected"


@app.command("list")
def list_incidents(
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, the latest first.")] = 100,
    config: ConfigOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the incidents that are open or acknowledged, and what could not be delivered yet.

    Examples:

      auditfuse incidents list

      auditfuse incidents list --all --json
    """
    import msgspec

    state = _open(config, store)
    incidents = state.incidents(include_resolved=everything, limit=limit)
    waiting = state.undelivered()
    if as_json:
        rows = [
            {**msgspec.to_builtins(incident), "undelivered": waiting.get(incident.incident_id, 0)}
            for incident in incidents
        ]
        typer.echo(json.dumps({"incidents": rows, "undelivered": sum(waiting.values())}))
        return
    _print_list(incidents, waiting)


@app.command()
def show(
    incident: Annotated[str, typer.Argument(help="The incident's id, inc_….")],
    config: ConfigOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one incident: what was found, the likeliest causes, where to look, what was paged to whom.

    Example:

      auditfuse incidents show inc_0f3c5a7e9b1d2f4a6c8e0b1d-1
    """
    import msgspec

    from pipeline.commands.incident_look import look_at

    looked = look_at(incident, config, store)
    if as_json:
        insight = msgspec.to_builtins(looked.insight(is_quiet=True))
        typer.echo(json.dumps({**msgspec.to_builtins(looked.detail), "insight": insight}))
        return
    _print_detail(looked)


@app.command()
def ack(
    incident: Annotated[str, typer.Argument(help="The incident's id.")],
    by: ByOption = None,
    reason: ReasonOption = "",
    config: ConfigOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an incident on: it is acknowledged.

    Example:

      auditfuse incidents ack inc_0f3c5a7e9b1d2f4a6c8e0b1d-1 --by maria
    """
    from pipeline.clock import system_now_ms

    name = who(by)
    kept = _fit(reason, config, store)
    _report(_open(config, store).acknowledge(incident, name, kept, system_now_ms()), as_json)


@app.command()
def resolve(
    incident: Annotated[str, typer.Argument(help="The incident's id.")],
    verdict: Annotated[
        VerdictName | None,
        typer.Option("--verdict", help="Whether it was real; replay and the weekly review count by it."),
    ] = None,
    by: ByOption = None,
    reason: ReasonOption = "",
    config: ConfigOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close an incident and say what it was. A finding soon after reopens it.

    real: something was wrong. false: nothing was. expected: it was as it said, and meant to be. An
    incident that is closed takes a verdict too.

    Examples:

      auditfuse incidents resolve inc_0f3c5a7e9b1d2f4a6c8e0b1d-1 --verdict real --reason "rolled back to 1.4"

      auditfuse incidents resolve inc_0f3c5a7e9b1d2f4a6c8e0b1d-1 --verdict expected --reason "month-end run"
    """
    from pipeline.clock import system_now_ms

    name = who(by)
    kept = _fit(reason, config, store)
    said = verdict.value if verdict is not None else None
    _report(_open(config, store).resolve(incident, name, kept, system_now_ms(), said), as_json)


app.command()(link)
app.command()(export)


def _open(config: Path | None, store: str | None) -> "StateDatabase":
    from pipeline.config import load_config
    from pipeline.respond.state import StateDatabase

    loaded = load_config(config, store=store)
    state = StateDatabase(loaded.state, loaded.respond)
    state.create_schema()
    return state


def _fit(reason: str, config: Path | None, store: str | None) -> str:
    from pipeline.commands.reason import fit_reason
    from pipeline.config import load_config

    return fit_reason(load_config(config, store=store), reason)


def _report(incident: "Incident", as_json: bool) -> None:
    import msgspec

    if as_json:
        typer.echo(msgspec.json.encode(incident).decode())
    else:
        typer.echo(f"{incident.incident_id} is {incident.status}.")


def _print_list(incidents: "list[Incident]", waiting: dict[str, int]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not incidents:
        typer.echo("No incidents.")
        return
    table = Table("incident", "severity", "status", "agent", "environment", "findings", "summary", "pages")
    for incident in incidents:
        undelivered = waiting.get(incident.incident_id, 0)
        cells = (
            incident.incident_id,
            incident.severity,
            incident.status,
            incident.agent_id,
            incident.environment,
            f"{incident.findings:,}",
            incident.summary,
            f"{undelivered} not delivered" if undelivered else "delivered",
        )
        table.add_row(*(Text(cell) for cell in cells))
    Console(width=None if Console().is_terminal else 200).print(table)


def _print_detail(looked: "Looked") -> None:
    page = looked.page(looked.insight())
    typer.echo(f"{page.title}\n\n{page.body}")
    for message in looked.detail.pages:
        typer.echo(f"page to {message['target']}: {_fate(message)}")


def _fate(message: dict[str, Any]) -> str:
    if message["state"] == "sent":
        return "delivered" + (f" in {message['told_in']}" if message["told_in"] else "")
    if message["state"] == "rerouted":
        return "the target is configured no more; sent to the others"
    error = f", last error: {message['last_error']}" if message["last_error"] else ""
    return f"not delivered yet, attempts: {message['attempts']}{error}; it is tried again"

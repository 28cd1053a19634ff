"""`auditfuse readiness AGENT`: may this agent be scaled?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.chosen_store import StoreOption, chosen_store

if TYPE_CHECKING:
    from pipeline.readiness.assess import Readiness


def readiness(
    agent: Annotated[str, typer.Argument(help="The agent.")],
    environment: Annotated[
        str | None, typer.Option("--environment", help="Where; needed if it runs in several.")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, help="Look at so many days of events.")] = 14,
    store: StoreOption = None,
    config: Annotated[Path | None, typer.Option("--config", help="The configuration file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Answer the four questions before an agent is scaled, each from what is recorded: are its permissions
    scoped, is there a review loop, is it logged and watched, can it be rolled back.

    Only events of bound sources count. Exits with 1 and names what is missing, unless everything holds.

    Examples:

      auditfuse readiness refund-agent

      auditfuse readiness refund-agent --environment prod --days 30 --json
    """
    import msgspec

    found = _assess(agent, environment, days, (store, config))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        typer.echo(as_text(found))
    if not found.ready:
        raise typer.Exit(1)


def _assess(
    agent: str, environment: str | None, days: int, places: tuple[str | None, Path | None]
) -> Readiness:
    from pipeline.audit.query import connect_newest
    from pipeline.clock import system_now_ms
    from pipeline.config import load_config
    from pipeline.readiness.assess import assess
    from pipeline.readiness.model import DAY_MS, Subject, environment_of

    loaded = load_config(places[1], store=places[0])
    now_ms = system_now_ms()
    with connect_newest(chosen_store(*places)) as connection:
        where = environment_of(connection, agent, environment)
        return assess(Subject(connection, loaded, agent, where, now_ms - days * DAY_MS, now_ms))


def as_text(found: Readiness) -> str:
    """The gates by question, for a person."""
    verdict = "READY" if found.ready else "NOT READY"
    lines = [f"{found.environment}/{found.agent_id}: {verdict}"]
    question = ""
    for gate in found.gates:
        if gate.question != question:
            question = gate.question
            lines.append(f"{question}:")
        lines.append(f"  {'holds  ' if gate.holds else 'MISSING'}  {gate.gate}: {gate.evidence}")
        if gate.missing:
            lines.append(f"           {gate.missing}")
    return "\n".join(lines)

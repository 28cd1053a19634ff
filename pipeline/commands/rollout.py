"""`auditfuse rollout AGENT --canary VERSION`: may the next share of the traffic go to the new version?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.chosen_store import StoreOption, chosen_store

if TYPE_CHECKING:
    from pipeline.readiness.rollout import Rollout


def rollout(
    agent: Annotated[str, typer.Argument(help="The agent.")],
    canary: Annotated[str, typer.Option("--canary", help="The version that is rolled out.")],
    environment: Annotated[
        str | None, typer.Option("--environment", help="Where; needed if the agent runs in several.")
    ] = None,
    hours: Annotated[float, typer.Option("--hours", min=0, help="How long it must have run.")] = 24.0,
    store: StoreOption = None,
    config: Annotated[Path | None, typer.Option("--config", help="The configuration file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Report whether the gates of the next step (5, 25, 100% of the traces) hold: the canary is not worse,
    has run for long enough, and neither an incident nor a trip came since.

    Exits with 1 if one of them does not hold.

    Examples:

      auditfuse rollout refund-agent --canary 2.1

      auditfuse rollout refund-agent --canary 2.1 --environment prod --hours 48 --json
    """
    import msgspec

    found = _assess((agent, canary, environment), hours, (store, config))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        typer.echo(as_text(found))
    if not found.may_go_on and found.next_step is not None:
        raise typer.Exit(1)


def _assess(
    asked: tuple[str, str, str | None], hours: float, places: tuple[str | None, Path | None]
) -> Rollout:
    from pipeline.audit.query import connect_newest
    from pipeline.clock import system_now_ms
    from pipeline.config import load_config
    from pipeline.detect.canary_report import compare
    from pipeline.detect.canary_rows import Asked, frames
    from pipeline.readiness.model import Subject, environment_of
    from pipeline.readiness.rollout import assess_rollout

    agent, canary, environment = asked
    loaded = load_config(places[1], store=places[0])
    now_ms = system_now_ms()
    with connect_newest(chosen_store(*places)) as connection:
        where = environment_of(connection, agent, environment)
        rows = frames(connection, Asked(agent, where, canary, None, 0))
        comparison = compare(rows, loaded.detect, (where, agent, canary, None), now_ms)
        subject = Subject(connection, loaded, agent, where, 0, now_ms)
        return assess_rollout(subject, canary, comparison, hours)


def as_text(found: Rollout) -> str:
    """Where it stands and the gates, for a person."""
    onward = f"the next step is {found.next_step}%" if found.next_step else "that was the last step"
    verdict = "GO ON" if found.may_go_on else "STAY" if found.next_step else "DONE"
    lines = [
        f"{found.environment}/{found.agent_id} {found.canary}: {found.share:.1%} of the last day's traces "
        f"(step {found.step}%), {onward}: {verdict}"
    ]
    for gate in found.gates:
        lines.append(f"  {'holds  ' if gate.holds else 'MISSING'}  {gate.gate}: {gate.evidence}")
        if gate.missing:
            lines.append(f"           {gate.missing}")
    return "\n".join(lines)

"""`auditfuse sources`: what arrives of each agent, and what its detectors can see of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.chosen_store import StoreOption, chosen_store

if TYPE_CHECKING:
    from pipeline.audit.arrivals import AgentFields


def sources(
    store: StoreOption = None,
    config: Annotated[Path | None, typer.Option("--config", help="The configuration file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show, per agent seen, which fields arrive and which detectors are blind for want of one.

    Detectors that are off, or that lack rules in the policy, are left out. A field's share is that of the
    agent's events that carry it; http_status and error_type are counted among failed events only.

    Examples:

      auditfuse sources

      auditfuse sources --json | jq '.[] | select(.blind != {})'
    """
    import msgspec

    from pipeline.audit.arrivals import agent_fields
    from pipeline.audit.query import open_catalog
    from pipeline.config import load_config
    from pipeline.detect.listing import listed

    detectors = listed(load_config(config, store=store).detect)
    needs = {detector.name: detector.needs for detector in detectors if detector.looks}
    with open_catalog(chosen_store(store, config)) as catalog:
        agents = agent_fields(catalog, needs)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(agents)).decode())
        return
    for agent in agents:
        typer.echo(as_text(agent))
    if not agents:
        typer.echo("The store holds no events yet.")


def as_text(agent: AgentFields) -> str:
    """A paragraph for a person."""
    bound = "" if agent.bound else ", NOT bound to this identity"
    lines = [f"{agent.environment}/{agent.agent_id} from {agent.source}{bound}: {agent.events:,} events"]
    groups: dict[str, list[str]] = {"always": [], "sometimes": [], "never": []}
    for name, share in agent.fields.items():
        if share is None:
            continue
        key = "always" if share == 1 else "never" if share == 0 else "sometimes"
        groups[key].append(name if key != "sometimes" else f"{name} {share:.0%}")
    lines += [f"  {key + ':':<11}{', '.join(names)}" for key, names in groups.items() if names]
    for detector, lacking in agent.blind.items():
        lines.append(f"  blind:     {detector}, for want of {' and '.join(lacking)}")
    return "\n".join(lines)

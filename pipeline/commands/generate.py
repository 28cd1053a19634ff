"""`auditfuse generate`: seeded agent traffic with planted faults, and the truth about them beside it."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.generate.stream import StreamConfig

Faults = Annotated[
    list[str] | None,
    typer.Option(help="KIND:AGENT@ONSET+LENGTH or …+LENGTHxFACTOR, in seconds; may be repeated."),
]
Releases = Annotated[
    list[str] | None,
    typer.Option(help="AGENT@ONSET=VERSION: the agent's version from that second on; may be repeated."),
]


def generate(
    out: Annotated[str, typer.Argument(help="Where to write, or - for standard output.")] = "-",
    agents: Annotated[int, typer.Option(min=1, help="How many agents.")] = 3,
    rate: Annotated[float, typer.Option(help="Calls a minute of each agent.")] = 30.0,
    minutes: Annotated[float, typer.Option(help="Length of the stream.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal streams.")] = 0,
    environment: Annotated[str, typer.Option(help="The agents' environment.")] = "prod",
    start: Annotated[
        int | None, typer.Option(help="First moment, in ms since 1970; by default the stream ends now.")
    ] = None,
    fault: Faults = None,
    release: Releases = None,
    office_hours: Annotated[
        bool, typer.Option("--office-hours", help="Follow the working day: little at night and at weekends.")
    ] = False,
    truth: Annotated[Path | None, typer.Option(help="Write the planted faults there, as JSON lines.")] = None,
) -> None:
    """Write generated agent events as NDJSON, one event a line, in time order.

    Kinds of fault: write_burst, external_burst, error_spike, auth_failure, throttling, latency,
    personal_data, action_mix, loop, silence. Personal data in the
    events look real and belong to nobody.

    Examples:

      auditfuse generate --agents 5 --rate 60 events.ndjson

      auditfuse generate --fault write_burst:agent-001@300+60x20 --truth truth.ndjson events.ndjson
    """
    from pipeline.generate.faults import parse_fault, parse_release
    from pipeline.generate.stream import StreamConfig, fleet, native_json
    from pipeline.generate.stream import generate as generate_events

    length_s = minutes * 60
    start_ms = start if start is not None else int((time.time() - length_s) * 1000)
    config = StreamConfig(
        seed,
        fleet(agents, rate, environment),
        start_ms,
        length_s,
        tuple(parse_fault(text) for text in fault or []),
        tuple(parse_release(text) for text in release or []),
        office_hours,
    )
    _require_known_agents(config)
    if truth is not None:
        truth.write_text(_truth(config, environment))
    with sys.stdout.buffer if out == "-" else Path(out).open("wb") as sink:
        for event in generate_events(config):
            sink.write(native_json(event) + b"\n")


def _require_known_agents(config: StreamConfig) -> None:
    names = {agent.agent_id for agent in config.agents}
    for planned in (*config.faults, *config.releases):
        if planned.agent_id not in names:
            raise ConfigError(
                f"agent {planned.agent_id!r} is not in the fleet, which is agent-001 to {max(names)}"
            )


def _truth(config: StreamConfig, environment: str) -> str:
    """The planted faults as JSON lines."""
    begins = [(fault, config.start_ms + int(fault.onset_s * 1000)) for fault in config.faults]
    lines = [asdict(fault) | {"start_ms": at, "environment": environment} for fault, at in begins]
    return "".join(f"{json.dumps(line)}\n" for line in lines)

"""`auditfuse generate`: seeded agent traffic with planted faults, and the truth about them beside it."""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import ConfigError


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
    fault: Annotated[
        list[str] | None,
        typer.Option(help="KIND:AGENT@ONSET+LENGTH or …+LENGTHxFACTOR, in seconds; may be repeated."),
    ] = None,
    release: Annotated[
        list[str] | None,
        typer.Option(help="AGENT@ONSET=VERSION: the agent's version from that second on; may be repeated."),
    ] = None,
    office_hours: Annotated[
        bool, typer.Option("--office-hours", help="Follow the working day: little at night and at weekends.")
    ] = False,
    truth: Annotated[Path | None, typer.Option(help="Write the planted faults there, as JSON lines.")] = None,
) -> None:
    """Write generated agent events as NDJSON, one event a line, in time order.

    Kinds of fault: write_burst, error_spike, auth_failure, silence. Personal data in the
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
    names = {agent.agent_id for agent in config.agents}
    for planned in (*config.faults, *config.releases):
        if planned.agent_id not in names:
            raise ConfigError(
                f"agent {planned.agent_id!r} is not in the fleet, which is agent-001 to {max(names)}"
            )
    if truth is not None:
        lines = [
            json.dumps(asdict(f) | {"start_ms": start_ms + int(f.onset_s * 1000), "environment": environment})
            for f in config.faults
        ]
        truth.write_text("".join(f"{line}\n" for line in lines))
    with sys.stdout.buffer if out == "-" else Path(out).open("wb") as sink:
        for event in generate_events(config):
            sink.write(native_json(event) + b"\n")

"""An `auditfuse run` with pages, automatic trips and agents under it, on Kafka or on its HTTP receiver."""

import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.kill_events import TOPIC
from benchmarks.kill_switching import Fleet
from benchmarks.served import Server, running

COMMON = """\
log = {{{{ level = "warning" }}}}
killswitch = {{{{ port = {{port}}, lease_s = {lease_s}, renew_s = {renew_s}, auto_trip = {auto_trip} }}}}
respond = {{{{ targets = [{{{{ name = "hook", url = "{hook}", per_minute = 600 }}}}] }}}}
{more}

[[sources]]
name = "{topic}"
topic = "{topic}"
kind = "{kind}"
format = "events"
agents = ["*"]
environments = ["*"]
"""
AUTO_TRIP = (
    '{{ detectors = {{ auth_failure = {{ mode = "enforce", trip = "off" }} }}, '
    "max_agents_share = 1.0, per_fleet_hour = 100000 }}"
)


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_under(
    folder: Path, fleet: Fleet, hook: str, bootstrap: str | None, http_port: int
) -> Generator[Server]:
    """Started and ready; without `bootstrap` events come in by HTTP, and nothing is redacted."""
    more = (
        "redaction = {{ enabled = false }}\nworker = {{ processes = 0 }}\n"
        f'http = {{{{ port = {http_port}, default_sources = ["{TOPIC}"] }}}}'
    )
    if bootstrap is not None:
        more = f'kafka = {{{{ bootstrap_servers = "{bootstrap}" }}}}'
    config = COMMON.format(
        lease_s=fleet.lease_s,
        renew_s=fleet.renew_s,
        auto_trip=AUTO_TRIP,
        hook=hook,
        topic=TOPIC,
        kind="http" if bootstrap is None else "kafka",
        more=more,
    )
    with running(folder, config) as server:
        yield server

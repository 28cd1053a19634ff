"""Faults and releases by schedule: what goes wrong or changes, with which agent, when, and how badly."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from pipeline.errors import ConfigError

FaultKind = Literal[
    "write_burst",
    "external_burst",
    "error_spike",
    "auth_failure",
    "throttling",
    "latency",
    "personal_data",
    "action_mix",
    "loop",
    "silence",
]
RATE_KINDS: tuple[FaultKind, ...] = ("write_burst", "external_burst", "loop")
"""Faults in which the agent makes more calls than usual."""

_SPEC = re.compile(
    r"(?P<kind>[a-z_]+):(?P<agent>[\w.-]+)@(?P<onset>\d+(?:\.\d+)?)\+(?P<length>\d+(?:\.\d+)?)"
    r"(?:x(?P<factor>\d+(?:\.\d+)?))?"
)
_RELEASE = re.compile(r"(?P<agent>[\w.-]+)@(?P<onset>\d+(?:\.\d+)?)=(?P<version>[\w.+-]+)")


@dataclass(frozen=True)
class Fault:
    """One planted fault. `onset_s` counts from the start of the stream.

    `factor` multiplies the agent's rate of calls in bursts (of writes, of external actions) and in a loop,
    which is the same call of one session again and again; for error spikes, refused authorizations and
    throttling it multiplies the usual share of such calls, for latency the time that calls take. Personal
    data: every call returns so many people. Action mix: a tool that the agent does not use takes over,
    one call in twenty times the factor.
    """

    kind: FaultKind
    agent_id: str
    onset_s: float
    length_s: float
    factor: float = 10.0

    def active(self, seconds: float) -> bool:
        """Whether the fault is on at that many seconds after the start."""
        return self.onset_s <= seconds < self.onset_s + self.length_s


@dataclass(frozen=True)
class Release:
    """From `onset_s` after the start on, the agent runs this version."""

    agent_id: str
    onset_s: float
    version: str


def parse_release(text: str) -> Release:
    """Read `AGENT@ONSET=VERSION`, in seconds, e.g. `agent-001@1080=1.5.0`."""
    match = _RELEASE.fullmatch(text)
    if match is None:
        raise ConfigError(f"--release {text!r} is not AGENT@ONSET=VERSION; for example agent-001@1080=1.5.0")
    return Release(match["agent"], float(match["onset"]), match["version"])


def parse_fault(text: str) -> Fault:
    """Read `KIND:AGENT@ONSET+LENGTH[xFACTOR]`, in seconds, e.g. `write_burst:agent-001@300+60x20`."""
    match = _SPEC.fullmatch(text)
    kinds = get_args(FaultKind)
    if match is None or match["kind"] not in kinds:
        raise ConfigError(
            f"--fault {text!r} is not KIND:AGENT@ONSET+LENGTH[xFACTOR] with KIND one of "
            f"{', '.join(kinds)}; for example write_burst:agent-001@300+60x20"
        )
    factor = float(match["factor"]) if match["factor"] else 10.0
    kind: FaultKind = match["kind"]  # pyright: ignore[reportAssignmentType] (checked above)
    return Fault(kind, match["agent"], float(match["onset"]), float(match["length"]), factor)

"""Faults by schedule: what goes wrong, with which agent, when, and how badly."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from pipeline.errors import ConfigError

FaultKind = Literal["write_burst", "error_spike", "auth_failure", "silence"]

_SPEC = re.compile(
    r"(?P<kind>[a-z_]+):(?P<agent>[\w.-]+)@(?P<onset>\d+(?:\.\d+)?)\+(?P<length>\d+(?:\.\d+)?)"
    r"(?:x(?P<factor>\d+(?:\.\d+)?))?"
)


@dataclass(frozen=True)
class Fault:
    """One planted fault. `onset_s` counts from the start of the stream.

    `factor` multiplies the agent's rate of calls while a write burst lasts; for error spikes and
    refused authorizations it multiplies the agent's usual share of such calls.
    """

    kind: FaultKind
    agent_id: str
    onset_s: float
    length_s: float
    factor: float = 10.0

    def active(self, seconds: float) -> bool:
        """Whether the fault is on at that many seconds after the start."""
        return self.onset_s <= seconds < self.onset_s + self.length_s


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

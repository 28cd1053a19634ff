"""The key: whose events are counted together."""

from typing import NamedTuple

ALL_AGENTS = "*"
"""The agent of a key that stands for every agent of an environment, or for too many to name."""


class Key(NamedTuple):
    """Environment, agent, and `via`, which keeps apart what may trip from what may not:

    "" a bound source, appended by the broker's clock; "create" or "event" other clocks (see
    schemas/record.py TimeKind); "source:<name>" whatever an unbound source sends, under no agent's name.
    """

    environment: str
    agent_id: str
    via: str
    late: bool = False

    @property
    def may_trip(self) -> bool:
        """Only what is bound, broker-stamped and punctual."""
        return self.via == "" and not self.late

    def labels(self) -> dict[str, str]:
        """The part of a finding's key that says why it may not trip."""
        labels: dict[str, str] = {}
        if self.via.startswith("source:"):
            labels["source"] = self.via.removeprefix("source:")
        elif self.via:
            labels["clock"] = self.via
        if self.late:
            labels["arrival"] = "late"
        return labels

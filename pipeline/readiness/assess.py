"""All gates of an agent, question by question."""

import msgspec

from pipeline.readiness.model import Gate, Subject
from pipeline.readiness.people import people
from pipeline.readiness.permissions import permissions
from pipeline.readiness.review import review
from pipeline.readiness.rollback import rollback
from pipeline.readiness.watching import watching


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to whether an agent may be scaled."""

    agent_id: str
    environment: str
    ready: bool
    gates: list[Gate]


PARTS = (permissions, review, watching, people, rollback)
"""In the order of the questions."""


def assess(subject: Subject) -> Readiness:
    """Every gate, those that hold as well."""
    gates = [gate for part in PARTS for gate in part(subject)]
    return Readiness(
        agent_id=subject.agent,
        environment=subject.environment,
        ready=all(gate.holds for gate in gates),
        gates=gates,
    )

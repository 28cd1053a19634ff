"""A guard as a person sees it."""

from typing import NamedTuple

from auditfuse_client.decision import Mode


class TripStatus(NamedTuple):
    """A trip that is enforced. `tool` None: whatever the tool."""

    id: str
    mode: Mode
    tool: str | None


class Status(NamedTuple):
    """What a guard knows and enforces now."""

    agent: str
    client: str
    """The random id under which the server knows this guard."""
    leased: bool
    lease_left_s: float | None
    """Negative once the lease has ended; None before the first answer."""
    trips: tuple[TripStatus, ...]
    digest: str | None
    """The trips in force everywhere, as last acknowledged."""
    host: str
    streaming: bool
    """Whether changes arrive by the stream now; else with the next renewal."""
    under_way: int
    """Actions begun with `step` or `guarded` that have not ended."""
    last_error: str | None
    """Why the last renewal failed; None where it did not."""

"""What a guard raises."""

from typing import Literal

from auditfuse_client.decision import Mode

Cause = Literal["trip", "throttled", "approval", "no lease", "closed"]


class Stopped(Exception):
    """The action must not be done now. The text says why, for a log or for the model itself.

    Nothing of the action was done: catch it where the agent can do without, else let it end the step.
    """

    def __init__(
        self,
        reason: str,
        *,
        cause: Cause,
        mode: Mode,
        trip: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cause: Cause = cause
        """trip: a trip forbids it; throttled: its pace is used up; approval: the server knows no such
        approval, or could not be asked; no lease: the server was not heard; closed: the guard was closed."""
        self.mode: Mode = mode
        """The mode that holds for the action; without a lease at least read_only."""
        self.trip = trip
        """The id of the strictest trip, where one covers the action."""
        self.retry_after_s = retry_after_s
        """When asking again makes sense, where that is known."""


class CallError(Exception):
    """A call to the server that failed; the text says how and holds nothing of the answer."""


class LostError(CallError):
    """The connection was gone: a kept one may have been closed while it was idle."""

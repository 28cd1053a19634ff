"""The kill switch of auditfuse, asked from inside an agent: decided locally, failing closed.

`Guard` for threads, `AsyncGuard` for asyncio; both raise `Stopped`.
Read on in `guard`, `core`, `decision`, `lease`.
"""

from auditfuse_client.async_guard import AsyncGuard
from auditfuse_client.decision import Action, Mode
from auditfuse_client.errors import Stopped
from auditfuse_client.guard import Guard
from auditfuse_client.status import Status, TripStatus

__all__ = ["Action", "AsyncGuard", "Guard", "Mode", "Status", "Stopped", "TripStatus"]

"""The ledger of approvals: which actions were covered, replayed in append time once nothing older can come.

Approvals take effect when they were appended, actions are judged a wait after they were appended. All of it
is gone through in that one order, so that neither partitions nor batches decide what is found. Later
approvals of the same order withdraw what they cover.
"""

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from detectors.key import Key

MAX_PER_LINK = 64
"""Approvals and raised actions that one trace, session or id can have; beyond it the oldest are forgotten."""
TURN_APPROVAL, TURN_ACTION = 0, 1

Item = TypeVar("Item")


class Demand(NamedTuple):
    """What the policy asks of the approval of an action."""

    valid_ms: int
    """How long before the action it may have been granted."""
    single_use: bool
    same_agent: bool
    same_tool: bool


class Approval(NamedTuple):
    """An approval of a trusted source. `links`: hashes of the id, call, trace and session that it is of."""

    at_ms: int
    """When it was appended."""
    row: str
    granted_ms: int
    agent: str
    tool: str | None
    links: tuple[int, ...]


class Action(NamedTuple):
    """An action that needs an approval. `links` as of an approval, the closest first."""

    due_ms: int
    """When it is judged: its append and the wait."""
    row: str
    at_ms: int
    began_ms: int
    key: Key
    tool: str
    links: tuple[int, ...]
    call: int | None
    """Hash of the tool call: two events of one call are one use of an approval."""
    trace: str | None
    session: str | None
    demand: Demand


class Limits(NamedTuple):
    """Bounds in time (ms of append time) and memory."""

    skew_ms: int
    remember_ms: int
    max_pending: int
    max_approvals: int
    max_raised: int


class Ledger:
    """Approvals and actions in, `raised` and `settled` called in append order as the watermark passes."""

    def __init__(
        self, limits: Limits, raised: Callable[[Action], None], settled: Callable[[Action], None]
    ) -> None:
        """`raised`: no approval covers it. `settled`: an approval that came later does after all."""
        self._limits = limits
        self._raise = raised
        self._settle = settled
        self._waiting: list[tuple[int, int, str, Approval | Action]] = []
        self._approvals = _Linked[Approval](limits.max_approvals)
        self._raised = _Linked[Action](limits.max_raised)
        self._used: OrderedDict[str, int | str] = OrderedDict()
        """Row of an approval → the call (or the row) that used it up."""

    def add(self, items: Iterable[Approval | Action]) -> None:
        """Take in what was seen; nothing is judged yet."""
        for item in items:
            turn = TURN_ACTION if isinstance(item, Action) else TURN_APPROVAL
            heapq.heappush(self._waiting, (item[0], turn, item.row, item))

    def advance(self, before_ms: int | None) -> None:
        """Go through everything before a time; beyond the bound on memory the oldest are judged early."""
        waiting = self._waiting
        while waiting and (
            (before_ms is not None and waiting[0][0] < before_ms) or len(waiting) > self._limits.max_pending
        ):
            at_ms, _, _, item = heapq.heappop(waiting)
            self._forget(at_ms - self._limits.remember_ms)
            if isinstance(item, Action):
                self._judge(item)
            else:
                self._take(item)

    def _judge(self, action: Action) -> None:
        usable = (a for a in self._approvals.of(action.links) if self._covers(a, action))
        approval = next(usable, None)
        if approval is not None:
            self._use(approval, action)
            return
        self._raised.add(action.due_ms, action.row, action.links, action)
        self._raise(action)

    def _take(self, approval: Approval) -> None:
        self._approvals.add(approval.at_ms, approval.row, approval.links, approval)
        for action in list(self._raised.of(approval.links)):
            if self._covers(approval, action):
                self._use(approval, action)
                self._raised.drop(action.row, action.links)
                self._settle(action)

    def _covers(self, approval: Approval, action: Action) -> bool:
        demand = action.demand
        since_ms = action.began_ms - approval.granted_ms
        if not -self._limits.skew_ms <= since_ms <= demand.valid_ms:
            return False
        if demand.same_agent and approval.agent != action.key.agent_id:
            return False
        if demand.same_tool and approval.tool != action.tool:
            return False
        user = self._used.get(approval.row)
        return not demand.single_use or user is None or user == action.call

    def _use(self, approval: Approval, action: Action) -> None:
        self._used.setdefault(approval.row, action.row if action.call is None else action.call)

    def _forget(self, before_ms: int) -> None:
        for row in self._approvals.forget(before_ms):
            self._used.pop(row, None)
        self._raised.forget(before_ms)

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        waiting = sorted((turn, item) for _, turn, _, item in self._waiting)
        return {
            "waiting": waiting,
            "approvals": list(self._approvals.items()),
            "raised": list(self._raised.items()),
            "used": list(self._used.items()),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a snapshot's state."""
        self.add(action_of(row) if turn == TURN_ACTION else _approval(row) for turn, row in state["waiting"])
        for row in state["approvals"]:
            approval = _approval(row)
            self._approvals.add(approval.at_ms, approval.row, approval.links, approval)
        for row in state["raised"]:
            action = action_of(row)
            self._raised.add(action.due_ms, action.row, action.links, action)
        self._used = OrderedDict((row, user) for row, user in state["used"])


class _Linked(Generic[Item]):
    """Items in the order of their times, found by any of their links, the oldest first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._times: deque[tuple[int, str, tuple[int, ...]]] = deque()
        self._by_row: dict[str, Item] = {}
        self._rows: dict[int, OrderedDict[str, None]] = {}

    def add(self, at_ms: int, row: str, links: tuple[int, ...], item: Item) -> None:
        self._times.append((at_ms, row, links))
        self._by_row[row] = item
        for link in links:
            rows = self._rows.setdefault(link, OrderedDict())
            rows[row] = None
            if len(rows) > MAX_PER_LINK:
                rows.popitem(last=False)

    def of(self, links: tuple[int, ...]) -> Iterator[Item]:
        """The items that share a link, by the order of `links`. One may come more than once."""
        for link in links:
            for row in tuple(self._rows.get(link, ())):
                item = self._by_row.get(row)
                if item is not None:
                    yield item

    def drop(self, row: str, links: tuple[int, ...]) -> None:
        """Forget one item now; its place in time is passed over later."""
        self._by_row.pop(row, None)
        for link in links:
            rows = self._rows.get(link)
            if rows is not None:
                rows.pop(row, None)
                if not rows:
                    del self._rows[link]

    def forget(self, before_ms: int) -> list[str]:
        """Forget what is older, and the oldest beyond the bound; returns their rows."""
        gone: list[str] = []
        times = self._times
        while times and (times[0][0] < before_ms or len(times) > self._limit):
            _, row, links = times.popleft()
            self.drop(row, links)
            gone.append(row)
        return gone

    def items(self) -> Iterator[Item]:
        return (self._by_row[row] for _, row, _ in self._times if row in self._by_row)


def _approval(row: Any) -> Approval:
    at_ms, name, granted_ms, agent, tool, links = row
    return Approval(at_ms, name, granted_ms, agent, tool, tuple(links))


def action_of(row: Any) -> Action:
    """An action from a snapshot."""
    action = Action._make(row)
    return action._replace(
        key=Key(*action.key), links=tuple(action.links), demand=Demand._make(action.demand)
    )

"""What the generated agents do: invoice processing, step by step, as events."""

import random
from dataclasses import dataclass
from typing import Any

from pipeline.generate import people
from schemas.event import ActionKind, Event

NS_PER_MS = 1_000_000


@dataclass(frozen=True)
class Tool:
    """A tool of the agent: what it does to the world, on what, under which scope, and how often."""

    name: str
    kind: ActionKind
    target: str
    scope: str
    weight: float


TOOLS: tuple[Tool, ...] = (
    Tool("fetch_invoice", "read", "erp://invoices", "invoices:read", 40),
    Tool("match_purchase_order", "read", "erp://purchase-orders", "orders:read", 30),
    Tool("get_vendor", "read", "crm://vendors", "vendors:read", 15),
    Tool("post_ledger_entry", "write", "erp://ledger", "ledger:write", 10),
    Tool("send_remittance_advice", "external", "smtp://remittance", "mail:send", 5),
)
READ_TOOLS = tuple(tool for tool in TOOLS if tool.kind == "read")
WRITE_TOOL = TOOLS[3]
EXTERNAL_TOOL = TOOLS[4]
OTHER_TOOL = Tool("export_vendors", "read", "crm://vendors", "vendors:read", 0)
REFUSED_TOOL = Tool("read_payroll", "read", "hr://payroll", "payroll:read", 0)
ERROR_TYPES = ("ConnectionError", "HTTPStatusError", "ValidationError")


@dataclass(frozen=True)
class Agent:
    """One agent of the fleet."""

    agent_id: str
    environment: str
    calls_per_minute: float
    version: str = "1.4.2"
    error_share: float = 0.02
    denied_share: float = 0.001

    @property
    def principal(self) -> str:
        """The service account that the agent runs under."""
        return f"sa:{self.agent_id}@{self.environment}"


def hex_id(source: random.Random, size_bytes: int) -> str:
    """A random id of that many bytes, as hex digits."""
    return f"{source.getrandbits(8 * size_bytes):0{2 * size_bytes}x}"


class Session:
    """A trace of one agent: consecutive tool calls share its ids."""

    def __init__(self, source: random.Random, agent: Agent) -> None:
        self.agent = agent
        self.trace_id = hex_id(source, 16)
        self.session_id = f"conv_{hex_id(source, 12)}"
        self.root_span_id = hex_id(source, 8)
        self.end_user = people.email(source, people.person_name(source))

    def call(
        self,
        source: random.Random,
        start_ms: int,
        tool: Tool,
        *,
        error_type: str | None = None,
        http_status: int | None = None,
        slower: float = 1.0,
        people_returned: int = 0,
    ) -> Event:
        """One tool call of this session as an event: `slower` times as long, with so many people in it."""
        failed = error_type is not None
        return Event(
            start_time_unix_nano=start_ms * NS_PER_MS + source.randrange(NS_PER_MS),
            duration_ns=int(source.randrange(20, 400) * slower) * NS_PER_MS,
            trace_id=self.trace_id,
            span_id=hex_id(source, 8),
            parent_span_id=self.root_span_id,
            session_id=self.session_id,
            request_id=f"req_{hex_id(source, 12)}",
            agent_id=self.agent.agent_id,
            agent_version=self.agent.version,
            environment=self.agent.environment,
            channel="stable",
            principal=self.agent.principal,
            scopes=[tool.scope],
            end_user=self.end_user,
            operation="execute_tool",
            action=tool.name,
            action_kind=tool.kind,
            target=tool.target,
            tool_call_id=f"call_{hex_id(source, 12)}",
            model="gpt-5-mini",
            status="error" if failed else "ok",
            error_type=error_type,
            http_status=http_status,
            input=tool_input(source, tool),
            output=None if failed else tool_output(source, tool) | returned(source, people_returned),
        )


def tool_input(source: random.Random, tool: Tool) -> dict[str, Any]:
    """Arguments of a call, with the personal data that such calls carry."""
    invoice = f"INV-{source.randrange(10_000, 99_999)}"
    if tool.kind == "write":
        return {"invoice": invoice, "amount": round(source.uniform(10, 9000), 2), "iban": people.iban(source)}
    if tool.kind == "external":
        name = people.person_name(source)
        return {"to": people.email(source, name), "body": f"Dear {name}, invoice {invoice} has been paid."}
    return {"invoice": invoice}


def tool_output(source: random.Random, tool: Tool) -> dict[str, Any]:
    """What a call returns."""
    if tool.name == "get_vendor":
        name = people.person_name(source)
        return {
            "contact": name,
            "email": people.email(source, name),
            "phone": people.phone(source),
            "address": people.address(source),
            "card_number": people.card_number(source),
            "api_key": people.api_key(source),
        }
    return {"status": "done", "reference": hex_id(source, 8)}


def returned(source: random.Random, count: int) -> dict[str, Any]:
    """A list of so many people; nothing for none."""
    names = [people.person_name(source) for _ in range(count)]
    return {"contacts": [{"name": n, "email": people.email(source, n)} for n in names]} if names else {}

"""The examples of docs/client.md and of the README run as they stand, against the real server.

No framework is installed: what the examples take from one is played by the stand-ins below.
"""

import asyncio
import re
import types
from pathlib import Path

import pytest
from auditfuse_client import Stopped
from support.killswitch import until

from schemas.command import Selector

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "client.md"
README = ROOT / "clients" / "python" / "README.md"


def blocks(path):
    return re.findall(r"^```python\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


class GuardrailOutputStandIn:
    """What the Agents SDK's ToolGuardrailFunctionOutput is made by."""

    def __init__(self, behavior, message=None):
        self.behavior, self.message = behavior, message

    @classmethod
    def allow(cls):
        return cls("allow")

    @classmethod
    def reject_content(cls, message):
        return cls("reject_content", message)


class GraphStandIn:
    """A graph of nodes and conditional edges, walked as LangGraph walks one."""

    def __init__(self):
        self.nodes, self.edges = {}, {}

    def add_node(self, name, node):
        self.nodes[name] = node

    def add_conditional_edges(self, name, choose):
        self.edges[name] = choose

    def invoke(self, name, state):
        while name is not None:
            state = {**state, **self.nodes[name](state), "last": name}
            name = self.edges[name](state) if name in self.edges else None
        return state


async def pay_back(invoice):
    return f"paid back {invoice}"


def function_tool_stand_in(function):
    return function


@pytest.fixture
def example(server):
    """The examples' names, after all blocks of docs/client.md but the last ran."""
    sent = []
    names = {
        "plan": [{"action": "write", "tool": "refund", "arguments": "INV-7"}],
        "run_tool": lambda tool, arguments: f"{tool}({arguments})",
        "mailer": types.SimpleNamespace(send=lambda *mail: sent.append(mail) or "sent"),
        "pay_back": pay_back,
        "function_tool": function_tool_stand_in,
        "tool_input_guardrail": function_tool_stand_in,
        "ToolGuardrailFunctionOutput": GuardrailOutputStandIn,
        "sent": sent,
    }
    *run, _ = blocks(PAGE)
    for block in run:
        exec(block.replace("http://127.0.0.1:8420", server.url), names)
    yield types.SimpleNamespace(**names)
    names["guard"].close()
    asyncio.run(names["async_guard"].close())


def trip_all(switch, example):
    switch.trip(Selector(agent="invoice-agent"), "read_only", by="alice", reason="r")
    until(lambda: all(guard.status().trips for guard in (example.guard, example.async_guard)))


def graph_of(example):
    graph = GraphStandIn()
    graph.add_node("refund", example.refund_node)
    graph.add_conditional_edges("refund", example.after_refund)
    graph.add_node("tell_a_person", lambda state: {})
    graph.add_node("send_receipt", lambda state: {})
    return graph


def tool_call(tool):
    return types.SimpleNamespace(context=types.SimpleNamespace(tool_name=tool))


async def test_every_example_acts_while_nothing_is_tripped(example, capsys):
    assert example.act(example.plan[0]) == "refund(INV-7)"
    assert example.send_mail("a@example.org", "hi") == "sent"
    assert await example.refund("INV-7") == "paid back INV-7"
    assert await example.refund_tool("INV-7") == "paid back INV-7"
    assert graph_of(example).invoke("refund", {"invoice": "INV-7"})["last"] == "send_receipt"
    for tool in ("refund", "send_mail", "lookup", "unheard_of"):
        assert (await example.kill_switch(tool_call(tool))).behavior == "allow"


async def test_every_example_stops_under_a_trip(example, switch):
    trip_all(switch, example)
    assert example.act(example.plan[0]).startswith("not done: invoice-agent may not write with refund now")
    sent = len(example.sent)
    with pytest.raises(Stopped):
        example.send_mail("a@example.org", "hi")
    assert len(example.sent) == sent
    for tool in (example.refund, example.refund_tool):
        with pytest.raises(Stopped):
            await tool("INV-7")
    state = graph_of(example).invoke("refund", {"invoice": "INV-7"})
    assert state["last"] == "tell_a_person" and "may only read" in state["stopped"]
    for tool, behavior in (
        ("refund", "reject_content"),
        ("unheard_of", "reject_content"),
        ("lookup", "allow"),
    ):
        assert (await example.kill_switch(tool_call(tool))).behavior == behavior


def test_the_example_of_tls_is_valid():
    names = {"Guard": lambda url, **options: options, "token": "t"}
    exec(blocks(PAGE)[-1], names)
    assert names["far"].keys() == {"agent", "token", "ca"}


def test_the_readme_runs(server, switch, capsys):
    (block,) = blocks(README)
    names = {}
    exec(block.replace("http://127.0.0.1:8420", server.url), names)
    assert capsys.readouterr().out == "refunded INV-7\n"
    switch.trip(Selector(agent="invoice-agent"), "off", by="alice", reason="r")
    until(lambda: bool(names["guard"].status().trips))
    names["guard"].close()
    exec(block.replace("http://127.0.0.1:8420", server.url), names)
    assert (
        "not done: invoice-agent may not write with refund now: by the trip trip_" in capsys.readouterr().out
    )
    names["guard"].close()

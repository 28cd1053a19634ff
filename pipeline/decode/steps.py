"""What kind of step a span is, from whichever convention its sender follows."""

from pipeline.decode.mapping import Gathered

EXECUTE_TOOL = "execute_tool"

_STEP_OPERATIONS = {
    # OpenInference span kinds
    "llm": "chat",
    "tool": EXECUTE_TOOL,
    "agent": "invoke_agent",
    "chain": "chain",
    "retriever": "retrieval",
    "reranker": "rerank",
    "embedding": "embeddings",
    "guardrail": "guardrail",
    "evaluator": "evaluation",
    # OpenLLMetry span kinds
    "workflow": "invoke_workflow",
    "task": "task",
    # MCP methods
    "tools/call": EXECUTE_TOOL,
    "resources/read": "read_resource",
    "prompts/get": "get_prompt",
}

NOT_TOOLS = frozenset(
    {
        "chat",
        "text_completion",
        "generate_content",
        "embeddings",
        "invoke_agent",
        "create_agent",
        "invoke_workflow",
    }
    | {"chain", "retrieval", "rerank", "guardrail", "evaluation", "task", "plan", "handoff", "log"}
    | {
        "user_prompt",
        "tool_decision",
        "stream_event",
        "session_start",
        "get_prompt",
        "completion",
        "responses",
    }
)
"""Operations that act on nothing by themselves: their action kind is none."""


def operation_of(gathered: Gathered) -> str | None:
    """The operation by name, else by the span's kind, else by what it carries; None for a plain span."""
    named: str | None = gathered.get("operation")
    if named is not None:
        return named
    step: str | None = gathered.get("step")
    if step is not None:
        return _STEP_OPERATIONS.get(step.lower(), step.lower())
    if gathered.get("tool") is not None:
        return EXECUTE_TOOL
    return "chat" if gathered.get("model") is not None else None


def tool_of(gathered: Gathered, operation: str | None) -> str | None:
    """The tool's name where the step is a tool call."""
    if operation in NOT_TOOLS or operation is None:
        return None
    tool: str | None = gathered.get("tool")
    return gathered.get("entity") if tool is None and operation == EXECUTE_TOOL else tool


def action_of(gathered: Gathered, operation: str | None, tool: str | None, name: str | None) -> str | None:
    """The tool, else the agent or the model, whichever the operation is about, else the span's name."""
    if tool is not None:
        return tool
    agent: str | None = gathered.get("agent_name")
    model: str | None = gathered.get("model")
    if operation in ("invoke_agent", "create_agent", "invoke_workflow"):
        return agent or name
    if operation in ("chat", "text_completion", "generate_content", "embeddings"):
        return model or name
    return gathered.get("tool") or gathered.get("entity") or name or agent or model

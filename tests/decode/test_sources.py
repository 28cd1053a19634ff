import json
import pickle

import pytest
from pydantic import ValidationError
from support.decode import decode, event_of, native, source

from pipeline.decode.sources import MEMO_LIMIT, SourceConfig
from schemas.event import Event

INVOICES = {"agents": ("invoices", "billing-*"), "environments": ("prod", "staging")}


@pytest.mark.parametrize(
    ("agent", "environment", "bound"),
    [
        ("invoices", "prod", True),
        ("billing-eu", "staging", True),
        ("invoices", "dev", False),
        ("Invoices", "prod", False),
        ("invoices ", "prod", False),
        ("invoices\n", "prod", False),
        ("xinvoices", "prod", False),
        ("refunds", "prod", False),
    ],
)
def test_another_identity_is_stored_flagged_and_not_bound(agent: str, environment: str, bound: bool):
    decoded = decode(json.dumps(native(agent_id=agent, environment=environment)).encode(), **INVOICES)
    event = event_of(decoded)
    assert decoded[0].bound is bound
    assert event.flags == ([] if bound else ["identity_not_bound"])
    assert (event.agent_id, event.environment) == (agent, environment)


def test_an_event_without_environment_claims_unknown():
    content = json.dumps(native(agent_id="invoices", environment=...)).encode()
    assert decode(content, **INVOICES)[0].bound is False
    assert decode(content, **INVOICES, default_environment="prod")[0].bound is True


def test_bindings_have_no_default():
    for missing in ("agents", "environments"):
        settings = {"name": "a", "topic": "a", "format": "events", "agents": ["*"], "environments": ["*"]}
        del settings[missing]
        with pytest.raises(ValidationError, match=missing):
            SourceConfig.model_validate(settings)
    assert source(agents=()).binding.covers("anyone", "prod") is False


@pytest.mark.parametrize(
    ("approvals", "agents", "expected"),
    [
        ("trusted", ("*",), ("gateway", [])),
        ("asserted", ("*",), ("agent", ["approval_not_bound"])),
        ("trusted", ("other",), ("agent", ["approval_not_bound", "identity_not_bound"])),
    ],
)
def test_approvals_count_from_trusted_sources_for_bound_agents_alone(
    approvals: str, agents: tuple[str, ...], expected: tuple[str, list[str]]
):
    content = json.dumps(native(approval_id="a-1", approval_status="granted")).encode()
    event = event_of(decode(content, approvals=approvals, agents=agents))
    assert (event.approval_source, event.flags) == expected
    event = event_of(decode(json.dumps(native()).encode(), approvals=approvals))
    assert (event.approval_source, event.flags) == (None, [])


def test_endless_new_names_do_not_grow_memory():
    binding = source(**INVOICES).binding
    for n in range(MEMO_LIMIT + 10):
        assert binding.covers(f"billing-{n}", "prod")
    assert len(vars(binding)["_memo"]) <= MEMO_LIMIT


def test_a_used_source_travels_to_another_process():
    used = source(**INVOICES)
    used.binding.covers("invoices", "prod")
    copy: SourceConfig = pickle.loads(pickle.dumps(used))
    assert copy == used
    assert copy.binding.covers("invoices", "prod")


def test_an_event_is_the_same_whichever_source_object_decodes_it():
    content = json.dumps(native()).encode()
    first, second = decode(content)[0].event, decode(content)[0].event
    assert isinstance(first, Event)
    assert first == second

"""An agent is found under its redacted name, and only the agent that the name was made of."""

import pytest
from support.canaries import CANARIES, Canary
from support.redact import one, redactor
from support.redact import test_keys as keys_of_the_tests

from pipeline.redact.alias import AliasMatcher
from pipeline.redact.config import RedactionConfig


@pytest.fixture(scope="module")
def matcher() -> AliasMatcher:
    return AliasMatcher(RedactionConfig(), keys_of_the_tests())


EXACT = [c for c in CANARIES if c.name not in ("dsn_password", "private_key")]


@pytest.mark.parametrize("canary", EXACT, ids=lambda c: c.name)
@pytest.mark.parametrize("shape", ["{}", "assistant of {}", "{} (helper)"])
def test_an_agent_is_found_under_its_redacted_name(matcher: AliasMatcher, canary: Canary, shape: str):
    name = shape.format(canary.value)
    redacted = one(redactor(), agent_id=name).event.agent_id
    if redacted != name:
        assert matcher.stands_for(redacted, name)
    assert not matcher.stands_for(redacted, shape.format("somebody.else@example.org"))


def test_two_values_in_one_name_are_both_proven(matcher: AliasMatcher):
    name = "marta.lindqvist@example.org for +44 20 7946 0958"
    redacted = one(redactor(), agent_id=name).event.agent_id
    assert redacted.count("<") == 2
    assert matcher.stands_for(redacted, name)
    assert not matcher.stands_for(redacted, name.replace("marta", "mara"))


@pytest.mark.parametrize(
    "crafted",
    [
        *("<PERSON:k1.0123456789abcdef>", "<PERSON:zz.0123456789abcdef>", "<REDACTION_FAILED:x:1>"),
        *("<PERSON:k1.0123456789abcdef><PERSON:k1.0123456789abcdef>", "a<b", ""),
    ],
)
def test_a_name_that_looks_like_a_pseudonym_stands_for_nobody_else(matcher: AliasMatcher, crafted: str):
    before = keys_of_the_tests().names("")
    assert not matcher.stands_for(crafted, "invoice-agent")
    assert not matcher.stands_for(crafted, "a")
    assert keys_of_the_tests().names("") == before

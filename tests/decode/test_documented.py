from pathlib import Path
from typing import get_args

import pytest

from pipeline.decode.mapping import CODING_AGENT_ALIASES, SPAN_ALIASES
from pipeline.decode.sources import SourceConfig
from schemas.event import Event, Flag

TEXT = (Path(__file__).parents[2] / "docs" / "events.md").read_text()


@pytest.mark.parametrize("name", sorted({*SPAN_ALIASES, *Event.__struct_fields__, *get_args(Flag)}))
def test_every_attribute_field_and_flag_is_documented(name: str):
    not_sent = {"schema_version"}
    assert name in TEXT or name in not_sent


def test_precedence_is_documented_as_it_is():
    line = next(line for line in TEXT.splitlines() if line.startswith("| session_id |"))
    documented = [name.strip() for name in line.split("|")[2].split(",")]
    ranked = sorted((alias.rank, name) for name, alias in SPAN_ALIASES.items() if alias.field == "session_id")
    assert documented == [name for _, name in ranked]
    assert CODING_AGENT_ALIASES["conversation.id"].rank > SPAN_ALIASES["mcp.session.id"].rank


def test_limits_are_documented_as_they_are():
    fields = SourceConfig.model_fields
    assert fields["max_message_bytes"].default == 8 * 1024 * 1024
    assert fields["max_items"].default == 16_000
    assert "(8 MiB)" in TEXT
    assert "(16,000)" in TEXT

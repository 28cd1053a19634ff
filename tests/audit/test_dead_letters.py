"""`auditfuse dead-letters`: where, why and how long, never what."""

import json
from pathlib import Path

import pytest
from support.audit import TOPIC_ID, claim, dead_letter_row, event_row
from typer.testing import CliRunner

from pipeline.audit.store import Store
from pipeline.commands.dead_letters import app
from pipeline.errors import StoreError


@pytest.fixture
def store(tmp_path: Path) -> Path:
    claim(Store(tmp_path)).seal([event_row(0), dead_letter_row(1), dead_letter_row(4)], 5)
    return tmp_path


def listed(*arguments: str) -> list[dict[str, object]]:
    result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    return json.loads(result.output)


def test_list_newest_first(store: Path) -> None:
    rows = listed("list", "--store", str(store))
    assert [row["offset"] for row in rows] == [4, 1]
    assert {"reason", "length", "source", "topic_id"} <= rows[0].keys()
    assert len(listed("list", "--store", str(store), "--limit", "1")) == 1


def test_count_by_reason(store: Path) -> None:
    [row] = listed("list", "--store", str(store), "--by-reason")
    assert (row["reason"], row["dead_letters"]) == ("not JSON", 2)


@pytest.mark.parametrize("topic", [TOPIC_ID, TOPIC_ID.partition(".")[0]])
def test_show_by_topic_id_or_name(store: Path, topic: str) -> None:
    [row] = listed("show", topic, "0", "4", "--store", str(store))
    assert (row["offset"], row["error_position"]) == (4, 3)
    assert json.loads(str(row["known_keys"])) == {"agent_id": "string"}


def test_show_what_is_none(store: Path) -> None:
    with pytest.raises(StoreError, match="no dead letter"):
        listed("show", "agent-events' OR 1=1 --", "0", "0", "--store", str(store))

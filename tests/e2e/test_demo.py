"""The demo is a test: it plays the whole main job, and its story must come out."""

import os
from pathlib import Path

import pytest
from support.running import auditfuse

from pipeline.demo.story import FOLDER, QUERIES

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the demo ran, and what it printed on one line."""
    folder = tmp_path_factory.mktemp("demo")
    printed = auditfuse("demo", cwd=folder, env={**os.environ, "COLUMNS": "300"}).stdout
    return folder, " ".join(printed.split())


def test_the_demo_tells_its_story_to_the_end(told: tuple[Path, str]) -> None:
    _, story = told
    for scene in (
        "1. A quiet morning",
        "2. invoice-agent",
        "3. It may",
        "4. It tries",
        "5. payments",
        "6. The",
    ):
        assert scene in story
    assert "tripped to read_only" in story
    assert story.count("PAGE ") == 4
    assert "signed a checkpoint of" in story
    assert "The audit trail holds." in story
    assert "rows intact: 1 fault" in story
    assert "row offset" in story
    assert story.count("auditfuse sql --store") == 3


def test_the_demo_leaves_a_store_that_answers_its_queries(told: tuple[Path, str]) -> None:
    folder, _ = told
    for query in QUERIES:
        done = auditfuse("sql", "--store", str(FOLDER / "store"), "--format", "csv", query, cwd=folder)
        assert len(done.stdout.splitlines()) > 1, query


def test_the_demo_replaces_only_its_own_folder(tmp_path: Path) -> None:
    precious = tmp_path / "auditfuse-demo" / "precious.txt"
    precious.parent.mkdir()
    precious.write_text("not from a demo")
    done = auditfuse("demo", cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "move it away" in done.stderr
    assert precious.exists()

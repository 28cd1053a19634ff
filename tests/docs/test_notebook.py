"""The notebook's outputs are those of the commands that it shows, and of nothing else."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

import duckdb
import pytest
from support.docs import ROOT, fences
from support.running import PROGRAM, auditfuse

sys.path.append(str(ROOT / "scripts"))
from notebook import execute

NOTEBOOK = ROOT / "notebooks" / "first-look.ipynb"
QUICK = {
    "AUDITFUSE_REDACTION__NAMES": "off",
    "AUDITFUSE_REDACTION__ENTITIES": '["EMAIL_ADDRESS", "IBAN_CODE", "PHONE_NUMBER"]',
    "AUDITFUSE_WORKER__PROCESSES": "0",
}
"""Of what redaction finds, what the notebook shows. The other recognizers take most of the time."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the commands of the notebook's first cell were run."""
    first = "".join(json.loads(NOTEBOOK.read_text())["cells"][0]["source"])
    commands = re.findall(r"^auditfuse (.*)$", first, re.MULTILINE)
    assert len(commands) == 2
    path = tmp_path_factory.mktemp("notebook")
    for command in commands:
        auditfuse(*shlex.split(command), cwd=path, env={**os.environ, **QUICK})
    return path


def test_the_committed_outputs_are_what_the_cells_give(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}")
    notebook = json.loads(NOTEBOOK.read_text())
    for committed, now in zip(notebook["cells"], execute(notebook), strict=True):
        assert committed == now


def test_every_query_that_a_page_shows_runs(folder: Path):
    catalog = auditfuse("catalog", cwd=folder).stdout.strip()
    queries = [
        query
        for fence in fences()
        if fence.language == "sql"
        for query in fence.text.split(";")
        if query.strip()
    ]
    assert len(queries) >= 5
    with duckdb.connect(catalog, read_only=True) as trail:
        for query in queries:
            trail.sql(query).fetchall()


def test_it_imports_nothing_that_is_not_installed_with_auditfuse():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    imported = set(re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE))
    assert imported <= {"subprocess", "duckdb", "polars"}

"""The notebook's outputs are those of the commands that it shows, and of nothing else."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from support.docs import ROOT
from support.running import PROGRAM, auditfuse

sys.path.append(str(ROOT / "scripts"))
from notebook import execute

NOTEBOOK = ROOT / "notebooks" / "first-look.ipynb"
QUICK = {"AUDITFUSE_REDACTION__NAMES": "off", "AUDITFUSE_WORKER__PROCESSES": "0"}
"""Looking for names takes a model that nothing in this notebook shows."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which the commands of the notebook's first cell were run."""
    first = "".join(json.loads(NOTEBOOK.read_text())["cells"][0]["source"])
    commands = re.findall(r"^auditfuse (.*)$", first, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        auditfuse(*shlex.split(command), cwd=tmp_path, env={**os.environ, **QUICK})
    return tmp_path


def test_the_committed_outputs_are_what_the_cells_give(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}")
    notebook = json.loads(NOTEBOOK.read_text())
    for committed, now in zip(notebook["cells"], execute(notebook), strict=True):
        assert committed == now


def test_it_imports_nothing_that_is_not_installed_with_auditfuse():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    imported = set(re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE))
    assert imported <= {"subprocess", "duckdb", "polars"}

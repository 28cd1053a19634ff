"""The notebooks give what they show as their outputs, and need nothing of ours to run."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.docs import ROOT, fences
from support.long import by_form
from support.running import PROGRAM, auditfuse

sys.path.append(str(ROOT / "scripts"))
from notebook import execute

pytestmark = pytest.mark.timeout(300)

FIRST_LOOK = ROOT / "notebooks" / "first-look.ipynb"
VERIFY = ROOT / "notebooks" / "verify-independently.ipynb"
NOTEBOOKS = by_form(short=[FIRST_LOOK, VERIFY], long=sorted((ROOT / "notebooks").glob("*.ipynb")))
"""What the others show takes long to make."""
QUICK = {
    "AUDITFUSE_REDACTION__NAMES": "off",
    "AUDITFUSE_REDACTION__ENTITIES": '["EMAIL_ADDRESS"]',
    "AUDITFUSE_WORKER__PROCESSES": "0",
}
"""The other recognizers take most of the time, and no notebook but the first shows what they find."""
FIRST_LOOK_FINDS = {"AUDITFUSE_REDACTION__ENTITIES": '["EMAIL_ADDRESS", "IBAN_CODE", "PHONE_NUMBER"]'}
BESIDE = ("verify.sql", "verify_proof.py")
NEEDED = {"duckdb", "matplotlib", "cryptography"}
_SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)

Cell = dict[str, Any]


def cells_of(path: Path) -> list[Cell]:
    return json.loads(path.read_text())["cells"]


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Path, Future[Path]]]:
    """Notebook → the folder with its data. Two are made at a time."""
    with ThreadPoolExecutor(2) as pool:
        yield {path: pool.submit(prepare, path, tmp_path_factory.mktemp(path.stem)) for path in NOTEBOOKS}


@pytest.fixture(scope="module")
def folder(notebook: Path, folders: dict[Path, Future[Path]]) -> Path:
    return folders[notebook].result()


def prepare(notebook: Path, folder: Path) -> Path:
    """Run the commands of the notebook's first cell, which make its data."""
    found = _SHELL.search("".join(cells_of(notebook)[0]["source"]))
    assert found, "the first cell says how to make the data"
    for name in BESIDE:
        shutil.copy(ROOT / "docs" / name, folder)
    done = subprocess.run(
        ["bash", "-euc", found[1]],
        cwd=folder,
        env=environment(notebook),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def environment(notebook: Path) -> dict[str, str]:
    path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **QUICK, **(FIRST_LOOK_FINDS if notebook == FIRST_LOOK else {}), "PATH": path}


def test_the_committed_outputs_are_what_the_cells_give(
    notebook: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", environment(notebook)["PATH"])
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    for committed, now in zip(cells_of(notebook), execute(json.loads(notebook.read_text())), strict=True):
        assert without_pixels(committed) == without_pixels(now)


def without_pixels(cell: Cell) -> Cell:
    """A cell with each picture as what it is: fonts and libraries draw the same one in other bytes."""
    outputs = [
        output | {"data": {kind: len(png) > 10_000 for kind, png in output["data"].items()}}
        if "image/png" in output.get("data", {})
        else output
        for output in cell.get("outputs", [])
    ]
    return cell | {"outputs": outputs}


def test_every_notebook_has_plots_but_the_first(notebook: Path):
    plots = sum(
        "image/png" in output.get("data", {})
        for cell in cells_of(notebook)
        for output in cell.get("outputs", [])
    )
    assert plots >= 1 or notebook == FIRST_LOOK


def test_it_needs_duckdb_and_its_own_imports_alone(notebook: Path):
    source = "\n".join("".join(cell["source"]) for cell in cells_of(notebook) if cell["cell_type"] == "code")
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(source))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= NEEDED | sys.stdlib_module_names
    assert "cryptography" not in imported or notebook.stem == "verify-independently"


def test_every_query_that_a_page_shows_runs(folders: dict[Path, Future[Path]]):
    folder = folders[FIRST_LOOK].result()
    catalog = auditfuse("catalog", cwd=folder).stdout.strip()
    queries = [
        query
        for fence in fences()
        if fence.language == "sql"
        for query in fence.text.split(";")
        if query.strip()
    ]
    assert len(queries) >= 20
    with duckdb.connect(catalog, read_only=True) as trail:
        for query in queries:
            trail.execute(query).fetchall()

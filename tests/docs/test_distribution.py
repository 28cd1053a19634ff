"""The three top-level packages belong to this distribution alone."""

import subprocess
import sys
import zipfile
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import pytest

OURS = ("pipeline", "detectors", "schemas")


@pytest.mark.parametrize("package", OURS)
def test_no_other_distribution_has_our_top_level_names(package: str):
    owners = set(packages_distributions().get(package, []))
    assert owners <= {"auditfuse"}, f"{owners} also install a package called {package}"


@pytest.mark.parametrize("package", OURS)
def test_what_is_imported_is_ours(package: str):
    module = __import__(package)
    assert Path(module.__file__ or "").resolve().is_relative_to(Path(__file__).resolve().parents[2])


def test_it_cannot_be_uploaded_by_mistake():
    (ours,) = [one for one in distributions() if one.metadata["Name"] == "auditfuse"]
    assert "Private :: Do Not Upload" in (ours.metadata.get_all("Classifier") or [])


def test_the_wheel_holds_everything_that_runs(tmp_path: Path):
    """Also what is no Python: templates, the model, migrations, the runbooks of the incident page."""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    files = [
        path.relative_to(root) for package in OURS for path in (root / package).rglob("*") if path.is_file()
    ]
    kept = {path.as_posix() for path in files if "__pycache__" not in path.parts}
    assert kept - held == set()
    runbooks = {path.name for path in (root / "docs" / "runbooks").iterdir()}
    assert runbooks == {name.split("/")[-1] for name in held if name.startswith("pipeline/web/runbooks/")}
    assert "own_faults.md" in runbooks

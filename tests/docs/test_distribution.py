"""The three top-level packages belong to this distribution alone."""

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

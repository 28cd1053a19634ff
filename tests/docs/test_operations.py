"""The dashboard and the alert rules: valid, and about metrics that there are."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import metrics

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations"
NAME = re.compile(r"auditfuse_[a-z_]+")
SUFFIXES = ("_bucket", "_count", "_sum")


def served() -> set[str]:
    """The names as Prometheus sees them."""
    names: set[str] = set()
    for family in metrics.REGISTRY.collect():
        names.add(f"{family.name}_total" if family.type == "counter" else family.name)
        if family.type == "histogram":
            names |= {family.name + suffix for suffix in SUFFIXES}
    return names


def expressions_of_alerts() -> dict[str, str]:
    rules: list[dict[str, Any]] = yaml.safe_load((OPERATIONS / "alerts.yaml").read_text())["groups"][0][
        "rules"
    ]
    return {rule["alert"]: rule["expr"] for rule in rules}


def expressions_of_panels() -> dict[str, str]:
    dashboard = json.loads((OPERATIONS / "grafana-dashboard.json").read_text())
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    }


@pytest.mark.parametrize(
    "expressions", [expressions_of_alerts(), expressions_of_panels()], ids=["alerts", "panels"]
)
def test_every_metric_that_is_named_is_served(expressions: dict[str, str]) -> None:
    assert len(expressions) >= 12
    unknown = {
        where: missing
        for where, expression in expressions.items()
        if (missing := set(NAME.findall(expression)) - served())
    }
    assert not unknown


def test_every_alert_says_how_bad_it_is_and_what_happened() -> None:
    rules = yaml.safe_load((OPERATIONS / "alerts.yaml").read_text())["groups"][0]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in {"critical", "warning"}, rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]


def test_panels_do_not_overlap() -> None:
    dashboard = json.loads((OPERATIONS / "grafana-dashboard.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not taken & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_takes_the_rules() -> None:
    done = subprocess.run(
        ["promtool", "check", "rules", OPERATIONS / "alerts.yaml"], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr

"""docs/operations/grafana-dashboard.json: one dashboard over everything that `/metrics` serves."""

import json
from typing import Any, NamedTuple

WIDTH, HEIGHT = 8, 7
"""Of a panel, in Grafana's grid of 24 columns."""
SOURCE = {"type": "prometheus", "uid": "${source}"}


class Panel(NamedTuple):
    """One picture: what it shows, by which expressions (with a legend each), in which unit."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"


class Row(NamedTuple):
    """Panels that belong together."""

    title: str
    panels: tuple[Panel, ...]


def _rate(metric: str, *labels: str) -> str:
    total = f'sum by ({", ".join(labels)}) (rate(auditfuse_{metric}_total{{job=~"$job"}}[$__rate_interval]))'
    return total.replace(" by ()", "")


def _now(metric: str, *labels: str, how: str = "sum") -> str:
    return f'{how} by ({", ".join(labels)}) (auditfuse_{metric}{{job=~"$job"}})'.replace(" by ()", "")


def _quantile(metric: str, share: float) -> str:
    buckets = f'rate(auditfuse_{metric}_seconds_bucket{{job=~"$job"}}[$__rate_interval])'
    return f"histogram_quantile({share}, sum by (le) ({buckets}))"


def _age(metric: str) -> str:
    return f'time() - min(auditfuse_{metric}{{job=~"$job"}} > 0)'


ROWS = (
    Row(
        "Does anything need a person?",
        (
            Panel(
                "Trips in force", "short", ((_now("killswitch_trips_in_force", "mode"), "{{mode}}"),), "stat"
            ),
            Panel("Incidents open", "short", ((_now("incidents_open", "severity"), "{{severity}}"),), "stat"),
            Panel(
                "Partitions that wait for a decision",
                "short",
                ((_now("halted_partitions"), "halted"),),
                "stat",
            ),
        ),
    ),
    Row(
        "From the topic to the sealed row",
        (
            Panel("Messages read", "ops", ((_rate("messages_read", "topic"), "{{topic}}"),)),
            Panel("Rows sealed", "ops", ((_rate("rows_sealed", "kind"), "{{kind}}"),)),
            Panel("Messages not sealed yet", "short", ((_now("lag_messages", "topic"), "{{topic}}"),)),
            Panel(
                "Oldest message not sealed", "s", ((_now("lag_seconds", "topic", how="max"), "{{topic}}"),)
            ),
            Panel(
                "From append to seal",
                "s",
                (
                    (_quantile("append_to_sealed", 0.5), "median"),
                    (_quantile("append_to_sealed", 0.99), "99%"),
                ),
            ),
            Panel("What waits, for what", "short", ((_now("waiting", "wait"), "{{wait}}"),)),
            Panel("Buffered", "bytes", ((_now("buffered_bytes", "topic"), "{{topic}}"),)),
            Panel(
                "Time to seal", "s", ((_quantile("seal", 0.5), "median"), (_quantile("seal", 0.99), "99%"))
            ),
            Panel("Dead letters by reason", "ops", ((_rate("dead_letters", "reason"), "{{reason}}"),)),
        ),
    ),
    Row(
        "Redaction",
        (
            Panel("Redacted values by type", "ops", ((_rate("redactions", "entity"), "{{entity}}"),)),
            Panel(
                "Replaced since redaction failed",
                "ops",
                ((_rate("redaction_failed", "reason"), "{{reason}}"),),
            ),
            Panel("Cut at a budget", "ops", ((_rate("redaction_cut", "reason"), "{{reason}}"),)),
        ),
    ),
    Row(
        "Detection and paging",
        (
            Panel(
                "Newest seal that was not folded",
                "s",
                ((_now("detector_lag_seconds", "shard"), "{{shard}}"),),
            ),
            Panel("Findings", "ops", ((_rate("findings", "detector"), "{{detector}}"),)),
            Panel("Detectors are behind by", "s", ((_age("watermark_timestamp_seconds"), "event time"),)),
            Panel(
                "Time to fold a batch",
                "s",
                ((_quantile("detect", 0.5), "median"), (_quantile("detect", 0.99), "99%")),
            ),
            Panel(
                "Pages",
                "ops",
                (
                    (_rate("pages_sent", "target"), "{{target}}"),
                    (_rate("pages_failed", "target"), "failed: {{target}}"),
                ),
            ),
            Panel(
                "From a page's writing to its delivery",
                "s",
                ((_quantile("page", 0.5), "median"), (_quantile("page", 0.99), "99%")),
            ),
            Panel("Oldest page that waits", "s", ((_now("outbox_oldest_seconds", how="max"), "age"),)),
            Panel("Agents watched", "short", ((_now("agents_watched"), "agents"),)),
        ),
    ),
    Row(
        "Kill switch",
        (
            Panel(
                "Flag evaluations", "ops", ((_rate("killswitch_evaluations", "endpoint"), "{{endpoint}}"),)
            ),
            Panel(
                "From the order to being served",
                "s",
                ((_quantile("killswitch_trip", 0.5), "median"), (_quantile("killswitch_trip", 0.99), "99%")),
            ),
            Panel("Requests refused", "ops", ((_rate("killswitch_refusals", "why"), "{{why}}"),)),
            Panel("Trips not sealed yet", "short", ((_now("killswitch_trips_unsealed"), "unsealed"),)),
        ),
    ),
    Row(
        "Audit trail",
        (
            Panel("Sealed", "Bps", ((_rate("sealed_bytes", "topic"), "{{topic}}"),)),
            Panel("Age of the chain's head", "s", ((_age("chain_head_timestamp_seconds"), "age"),)),
            Panel("Segments merged", "ops", ((_rate("compacted_files"), "segments"),)),
            Panel(
                "Time of a pass of compaction",
                "s",
                ((_quantile("compaction", 0.5), "median"), (_quantile("compaction", 0.99), "99%")),
            ),
            Panel("Age of the catalog", "s", ((_age("catalog_timestamp_seconds"), "age"),)),
            Panel("Age of the newest checkpoint", "s", ((_age("checkpoint_timestamp_seconds"), "age"),)),
            Panel(
                "Anchors behind for",
                "s",
                ((_now("anchor_waiting_seconds", "anchor", how="max"), "{{anchor}}"),),
            ),
            Panel("Partition logs left out", "short", ((_now("checkpoint_left_out"), "left out"),)),
        ),
    ),
)


def dashboard() -> str:
    """The dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row in ROWS:
        panels.append({"type": "row", "title": row.title, "gridPos": _place(0, top, 24, 1), "panels": []})
        top += 1
        for number, panel in enumerate(row.panels):
            place = _place(number % 3 * WIDTH, top + number // 3 * HEIGHT, WIDTH, HEIGHT)
            panels.append(_panel(panel, place))
        top += -(-len(row.panels) // 3) * HEIGHT
    document = {
        "title": "auditfuse",
        "uid": "auditfuse",
        "tags": ["auditfuse"],
        "timezone": "utc",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "schemaVersion": 39,
        "templating": {"list": [_source_variable(), _job_variable()]},
        "panels": [panel | {"id": number} for number, panel in enumerate(panels, 1)],
    }
    return json.dumps(document, indent=1) + "\n"


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + number), "expr": expression, "legendFormat": legend, "datasource": SOURCE}
        for number, (expression, legend) in enumerate(panel.queries)
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "gridPos": place,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _source_variable() -> dict[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _job_variable() -> dict[str, Any]:
    return {
        "name": "job",
        "label": "Job",
        "type": "query",
        "datasource": SOURCE,
        "query": "label_values(auditfuse_signals_observed_total, job)",
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }

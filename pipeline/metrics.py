"""Every metric of auditfuse, in one place. Stages import the object and set it; `/metrics` serves them.

Labels have few, fixed values: topics, partitions, detectors, reasons, target names. Never an agent's
name, an id, a person or anything from a message.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.openmetrics.exposition import (
    generate_latest,  # pyright: ignore[reportUnknownVariableType] (the library leaves it untyped)
)

REGISTRY = CollectorRegistry(auto_describe=True)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_WAITS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"auditfuse_{name}", text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"auditfuse_{name}", text, labels, registry=REGISTRY)


def _seconds(name: str, text: str, *labels: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
    return Histogram(f"auditfuse_{name}_seconds", text, labels, registry=REGISTRY, buckets=buckets)


# Ingest: from the topic to the sealed row.
messages_read = _counter("messages_read", "Messages read from input topics.", "topic")
rows_sealed = _counter("rows_sealed", "Rows published in sealed segments.", "topic", "kind")
dead_letters = _counter("dead_letters", "Messages that could not become an event.", "reason")
dead_letters_published = _counter("dead_letters_published", "Dead letters sent to the dead-letter topic.")
redacted_published = _counter("redacted_published", "Events sent to the redacted topic.")
lag_messages = _gauge("lag_messages", "Messages in the topic that are not sealed yet.", "topic", "partition")
lag_seconds = _gauge(
    "lag_seconds", "Age of the oldest message read and not sealed yet, by the broker's clock.", "topic"
)
waiting = _gauge(
    "waiting",
    "Read and not sealed: chunks that wait for a process, or its result; rows that wait for the seal.",
    *("topic", "wait"),
)
tasks = _gauge("tasks", "Tasks of the event loop that reads and seals.")
buffered_bytes = _gauge("buffered_bytes", "Bytes read and not sealed yet; backpressure bounds them.", "topic")
paused_partitions = _gauge("paused_partitions", "Partitions paused by backpressure or a halt.", "topic")
halted_partitions = _gauge(
    "halted_partitions", "Partitions that wait for a person (see auditfuse gap).", "topic"
)
seal_failures = _counter("seal_failures", "Seals that failed and were tried again (a full disk, say).")
seal_seconds = _seconds("seal", "Time to write and publish one segment.")
sealed_latency_seconds = _seconds(
    "append_to_sealed", "From the broker's append of a segment's oldest message to its seal.", buckets=_WAITS
)
sealed_bytes = _counter("sealed_bytes", "Bytes of sealed segments.", "topic")
chain_head_time = _gauge(
    "chain_head_timestamp_seconds", "When the newest segment was sealed (Unix time).", "topic"
)

# The store.
compacted_files = _counter("compacted_files", "Segments that were merged into larger ones.")
compaction_failures = _counter("compaction_failures", "Passes of compaction that failed and are repeated.")
compaction_seconds = _seconds("compaction", "Time of one pass of compaction over all partitions.")
catalog_time = _gauge(
    "catalog_timestamp_seconds", "When the catalog was last found to show all that is sealed (Unix time)."
)

# Ingest over HTTP.
http_requests = _counter("http_requests", "Requests to the OTLP/HTTP endpoints.", "path", "status")
http_accepted = _counter("http_accepted", "Messages accepted over HTTP, durable before the answer.", "path")

# Redaction.
redactions = _counter("redactions", "Values redacted, by entity type.", "entity")
redaction_failed = _counter("redaction_failed", "Values replaced because redaction failed.", "reason")
redaction_cut = _counter("redaction_cut", "Values cut at the budget of a value or an event.", "reason")

# Volume.
thinned_payloads = _counter("thinned_payloads", "Payloads of routine traces that thinning erased.")

# Detection.
signals_published = _counter("signals_published", "Sealed rows told to the shards of detection.")
signals_dropped = _counter(
    "signals_dropped", "Log entries that were not told: the signals topic took nothing, the store tells them."
)
signals_refused = _counter(
    "signals_refused", "Messages of the signals topic that were not signed with our key, for that shard."
)
signals_observed = _counter("signals_observed", "Sealed rows that detectors have seen.")
late_events = _gauge(
    "late_events", "Events that came late since detection began: they count for floors, and trip nothing."
)
agents_watched = _gauge(
    "agents_watched", "Agents that detection knows; at most detect.expected_keys are meant."
)
findings = _counter("findings", "Findings.", "detector", "late")
detector_failures = _counter("detector_failures", "Own detectors that failed and are off.", "detector")
watermark_time = _gauge(
    "watermark_timestamp_seconds", "Event time up to which windows are closed (Unix time)."
)
detector_lag = _gauge(
    "detector_lag_seconds", "Age of the newest seal that detection has folded, 0 where none waits.", "shard"
)
detect_seconds = _seconds("detect", "Time to fold one batch of signals and trip by what was found.")
findings_waiting = _gauge("findings_waiting", "Findings that wait for the state database.")

# Respond.
incidents_open = _gauge("incidents_open", "Incidents that are not resolved.", "severity")
pages_sent = _counter("pages_sent", "Pages that a target accepted.", "target")
pages_failed = _counter("pages_failed", "Attempts to page that failed and are retried.", "target")
page_seconds = _seconds(
    "page", "From a page's being written to its being accepted by its target.", buckets=_WAITS
)
outbox_waiting = _gauge("outbox_waiting", "Pages that wait for delivery.")
outbox_oldest_seconds = _gauge("outbox_oldest_seconds", "Age of the oldest page that waits for delivery.")
heartbeat_time = _gauge(
    "heartbeat_timestamp_seconds", "When the monitor elsewhere last heard us (Unix time)."
)

# Kill switch.
trips_in_force = _gauge("killswitch_trips_in_force", "Trips that are not lifted.", "mode")
trips_unsealed = _gauge("killswitch_trips_unsealed", "Trips served whose record is not sealed yet.")
trips_volatile = _gauge(
    "killswitch_trips_volatile", "Trips served from memory alone: a restart forgets them."
)
trip_seconds = _seconds("killswitch_trip", "From the order to the trip being served.")
trip_decisions = _counter("killswitch_decisions", "Findings considered for an automatic trip.", "action")
ofrep_evaluations = _counter("killswitch_evaluations", "Flag evaluations answered.", "endpoint")
control_refusals = _counter("killswitch_refusals", "Control requests refused.", "why")
failed_attempts = _counter(
    "killswitch_failed_attempts", "Control requests with a token that is not known, or no longer."
)
topic_failing = _gauge("killswitch_topic_failing", "1 while trips cannot be published to their topic.")
peers_unheard = _gauge("killswitch_peers_unheard", "Other control servers that do not answer.")
journal_failing = _gauge("killswitch_journal_failing", "1 while the kill switch's journal cannot be written.")
control_failing = _gauge("killswitch_control_failing", "1 while _control cannot be read or appended to.")
actuator_attempts = _counter("actuator_attempts", "Attempts to reach an actuator.", "actuator", "outcome")
actuator_failing = _gauge("actuator_failing", "Trips that an actuator does not carry out.", "actuator")

# Checkpoints.
checkpoint_size = _gauge("checkpoint_size", "Log entries that the newest checkpoint covers.")
checkpoint_time = _gauge("checkpoint_timestamp_seconds", "When the newest checkpoint was made (Unix time).")
checkpoint_failures = _counter("checkpoint_failures", "Passes of the sequencer that failed and are repeated.")
checkpoint_left_out = _gauge(
    "checkpoint_left_out", "Partition logs that are not what was checkpointed of them: left out, see verify."
)
anchor_size = _gauge("anchor_size", "The size of the newest checkpoint that an anchor took.", "anchor")
anchor_waiting_seconds = _gauge(
    "anchor_waiting_seconds", "How long an anchor has not taken the newest checkpoint.", "anchor"
)
anchor_failures = _counter("anchor_failures", "Attempts to reach an anchor that failed.", "anchor")


def exposition() -> bytes:
    """All metrics in OpenMetrics text."""
    return bytes(generate_latest(REGISTRY))  # pyright: ignore[reportUnknownArgumentType] (untyped)

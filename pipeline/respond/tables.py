"""The state database's tables. SQLite and PostgreSQL alike."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

SCHEMA_VERSION = 4

ALL = "all"
"""The only shard where one process detects for all agents."""

# SQLite gives row numbers to INTEGER keys alone.
_Number = BigInteger().with_variant(Integer(), "sqlite")
metadata = MetaData()


class Name(TypeDecorator[str]):
    """A name as it may be sent to us. PostgreSQL stores no NUL character: it becomes U+FFFD, on both alike,
    so that no text that somebody put one into can hold up the transaction that it is part of."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """The text as it is stored, and compared with what is stored."""
        return None if value is None else value.replace("\0", "\ufffd")


class Words(Name):
    """Text of any length, as `Name`."""

    impl = Text
    cache_ok = True


schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True))

consumed = Table(
    "consumed",
    metadata,
    # With a default of the database's own: processes of the version before write on while hosts are upgraded.
    Column("shard", Name, primary_key=True, server_default=ALL),
    Column("topic_id", Name, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("sealed_end", BigInteger, nullable=False),
)
"""For each share of the agents that one process detects for: how far findings were drawn. A shard consumes
every partition, its own agents' rows of it."""

incidents = Table(
    "incidents",
    metadata,
    Column("incident_id", Name, primary_key=True),
    Column("incident_key", Name, nullable=False),
    Column("number", Integer, nullable=False),
    Column("detector", Name, nullable=False),
    Column("environment", Name, nullable=False),
    Column("agent_id", Name, nullable=False),
    Column("status", Name, nullable=False),
    Column("severity", Name, nullable=False),
    Column("opened_at_ms", BigInteger, nullable=False),
    Column("resolved_at_ms", BigInteger),
    Column("last_window_end_ms", BigInteger, nullable=False),
    Column("episode", LargeBinary, nullable=False),  # JSON of incidents.Episode
    Column("lead", LargeBinary, nullable=False),  # JSON of the FindingRow that the page shows
    Column("trip", Words),
    Column("unanswered_since_ms", BigInteger),  # null while nobody has to answer
    Column("reminders", Integer, nullable=False, default=0),
    Column("escalations", Integer, nullable=False, default=0),
    Column("quiet_since_ms", BigInteger),  # all its findings are taken back; null: not
    Column("attend_at_ms", BigInteger),  # when to look whether it needs a reminder; null: never
    Index("incidents_to_attend", "attend_at_ms"),
    Index("incidents_resolved", "resolved_at_ms"),
    Index("incidents_of_agent", "agent_id", "status"),
    Index("incidents_by_key", "incident_key", "number", unique=True),
    Index("incidents_by_status", "status", "opened_at_ms"),
)

numbers = Table(
    "numbers",
    metadata,
    Column("incident_key", Name, primary_key=True),
    Column("number", Integer, nullable=False),
)
"""The last number of keys whose incidents are pruned: no id is ever given twice."""

silences = Table(
    "silences",
    metadata,
    Column("silence_id", Name, primary_key=True),
    Column("agent", Name, nullable=False),  # a glob, as the next two
    Column("detector", Name, nullable=False),
    Column("environment", Name, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("holds_trips", Boolean, nullable=False),
    Column("by", Name, nullable=False),
    Column("reason", Words, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger),
    Column("ended_by", Name),
    Index("silences_by_end", "until_ms"),
)
"""Whose pages wait, until when and why; until `ended_at_ms` where somebody ended it before its time."""

findings = Table(
    "findings",
    metadata,
    Column("finding_id", Name, primary_key=True),
    Column("incident_id", Name, nullable=False, index=True),
    Column("found_at_ms", BigInteger, nullable=False),
    Column("withdrawn", Boolean, nullable=False),
)

appends = Table(
    "appends",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=True),
    Column("row_id", Name, nullable=False, unique=True),
    Column("kind", Name, nullable=False),  # finding | withdrawal | incident | silence
    Column("body", LargeBinary, nullable=False),  # JSON of the row
)
"""Outbox: rows on their way into `_findings`. A row is deleted once it is sealed there."""

pages = Table(
    "pages",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=True),
    Column("page_id", Name, nullable=False),
    Column("target", Name, nullable=False),
    Column("change", Name, nullable=False),
    Column("incident_id", Name),
    Column("severity_rank", Integer, nullable=False),
    Column("awaits_row", Name),
    Column("awaits_until_ms", BigInteger, nullable=False),
    Column("body", LargeBinary),  # JSON of a ready Page; null where it is rendered when sent
    Column("state", Name, nullable=False),  # pending | held | bundled | sent | rerouted | dropped
    Column("told_in", Name),  # the summary's page id, where it is told in one
    Column("held_by", Name),  # the silence or maintenance window that holds it
    Column("together", Name),  # what it is told together with: the same for several incidents of an agent
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at_ms", BigInteger, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("sent_at_ms", BigInteger),
    Column("last_error", Words),
    Index("pages_once", "page_id", "target", unique=True),
    Index("pages_due", "target", "state", "severity_rank"),
    Index("pages_of_incident", "incident_id"),
    Index("pages_by_state", "state", "created_at_ms"),
)
"""Outbox: one row a page and target. It is not `sent` before that target has taken it, or its summary.
`held` waits for the end of a silence; `dropped` was overtaken: nobody needs it any more."""

links = Table(
    "links",
    metadata,
    Column("secret_hash", Name, primary_key=True),  # SHA-256 of the secret, which is stored nowhere
    Column("incident_id", Name, nullable=False),
    Column("person", Name, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("used_at_ms", BigInteger),
    Index("links_by_end", "expires_at_ms"),
)
"""One-time links to incident pages: the first POST with a secret uses it up."""

deliveries = Table(
    "deliveries",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=True),
    Column("page_id", Name, nullable=False),
    Column("target", Name, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("elapsed_ms", Integer, nullable=False),
    Column("outcome", Name, nullable=False),
    Column("error", Words),
    Index("deliveries_by_time", "at_ms"),
    Index("deliveries_by_target", "target", "at_ms"),
    Index("deliveries_by_page", "page_id"),
)
"""A record of every attempt."""

targets = Table(
    "targets",
    metadata,
    Column("name", Name, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("failing_since_ms", BigInteger),
    Column("next_attempt_at_ms", BigInteger, nullable=False),
    Column("last_error", Words),
)
"""How each target fares: the pause after failures is the target's, whatever the number of its pages."""

published = Table(
    "published",
    metadata,
    Column("output", Name, primary_key=True),
    Column("topic_id", Name, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("end", BigInteger, nullable=False),
)
"""For each output topic and input partition: every dead letter below `end` is published."""

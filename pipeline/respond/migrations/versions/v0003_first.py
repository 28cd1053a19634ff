"""The tables of the first release."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = None

# SQLite gives row numbers to INTEGER keys alone.
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make them all."""
    _detection()
    _incidents()
    _outbox()


def _detection() -> None:
    op.create_table(
        "schema_version",
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )
    op.create_table(
        "consumed",
        sa.Column("topic_id", sa.String(), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sealed_end", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic_id", "partition"),
    )
    op.create_table(
        "published",
        sa.Column("output", sa.String(), nullable=False),
        sa.Column("topic_id", sa.String(), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("output", "topic_id", "partition"),
    )
    op.create_table(
        "findings",
        sa.Column("finding_id", sa.String(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("found_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("finding_id"),
    )
    op.create_index("ix_findings_incident_id", "findings", ["incident_id"])


def _incidents() -> None:
    op.create_table(
        "incidents",
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("incident_key", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("detector", sa.String(), nullable=False),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("opened_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("resolved_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_window_end_ms", sa.BigInteger(), nullable=False),
        sa.Column("episode", sa.LargeBinary(), nullable=False),
        sa.Column("lead", sa.LargeBinary(), nullable=False),
        sa.Column("trip", sa.Text(), nullable=True),
        sa.Column("unanswered_since_ms", sa.BigInteger(), nullable=True),
        sa.Column("reminders", sa.Integer(), nullable=False),
        sa.Column("escalations", sa.Integer(), nullable=False),
        sa.Column("quiet_since_ms", sa.BigInteger(), nullable=True),
        sa.Column("attend_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("incident_id"),
    )
    op.create_index("incidents_by_key", "incidents", ["incident_key", "number"], unique=True)
    op.create_index("incidents_by_status", "incidents", ["status", "opened_at_ms"])
    op.create_index("incidents_of_agent", "incidents", ["agent_id", "status"])
    op.create_index("incidents_resolved", "incidents", ["resolved_at_ms"])
    op.create_index("incidents_to_attend", "incidents", ["attend_at_ms"])
    op.create_table(
        "numbers",
        sa.Column("incident_key", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("incident_key"),
    )
    op.create_table(
        "silences",
        sa.Column("silence_id", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("detector", sa.String(), nullable=False),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("holds_trips", sa.Boolean(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("silence_id"),
    )
    op.create_index("silences_by_end", "silences", ["until_ms"])
    op.create_table(
        "links",
        sa.Column("secret_hash", sa.String(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("secret_hash"),
    )
    op.create_index("links_by_end", "links", ["expires_at_ms"])


def _outbox() -> None:
    op.create_table(
        "appends",
        sa.Column("seq", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("row_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("row_id"),
    )
    op.create_table(
        "pages",
        sa.Column("seq", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("page_id", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("change", sa.String(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=True),
        sa.Column("severity_rank", sa.Integer(), nullable=False),
        sa.Column("awaits_row", sa.String(), nullable=True),
        sa.Column("awaits_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("told_in", sa.String(), nullable=True),
        sa.Column("held_by", sa.String(), nullable=True),
        sa.Column("together", sa.String(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("sent_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("pages_by_state", "pages", ["state", "created_at_ms"])
    op.create_index("pages_due", "pages", ["target", "state", "severity_rank"])
    op.create_index("pages_of_incident", "pages", ["incident_id"])
    op.create_index("pages_once", "pages", ["page_id", "target"], unique=True)
    op.create_table(
        "deliveries",
        sa.Column("seq", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("page_id", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("elapsed_ms", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("deliveries_by_page", "deliveries", ["page_id"])
    op.create_index("deliveries_by_target", "deliveries", ["target", "at_ms"])
    op.create_index("deliveries_by_time", "deliveries", ["at_ms"])
    op.create_table(
        "targets",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since_ms", sa.BigInteger(), nullable=True),
        sa.Column("next_attempt_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )

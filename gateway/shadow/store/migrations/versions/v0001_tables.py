"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    _served()
    _samples()
    _runs()
    _scores()
    _counters_and_gaps()
    _keep_from_statistics()


def _words(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _served() -> None:
    op.create_table(
        "served",
        _words("id"),
        _words("family"),
        _words("model"),
        _words("revision"),
        _words("engine"),
        _words("quantisation"),
        _words("template"),
        _words("sampling"),
        sa.PrimaryKeyConstraint("id", name="pk_served"),
    )


def _samples() -> None:
    op.create_table(
        "samples",
        _words("id"),
        sa.Column("at", sa.Double, nullable=False),
        _words("kind"),
        _words("suite"),
        _words("task_id"),
        _words("form"),
        sa.Column("prompt_tokens", sa.Integer, nullable=False),
        sa.Column("propensity", sa.Double, nullable=False),
        _words("sampling"),
        sa.Column("target_tokens", sa.Integer),
        sa.Column("score", sa.Double, nullable=False),
        _words("alike"),
        _words("request_id"),
        _words("key"),
        sa.Column("control", sa.Boolean),
        sa.Column("first_id", sa.Text),
        sa.Column("second_id", sa.Text),
        sa.Column("prompt", sa.LargeBinary),
        sa.PrimaryKeyConstraint("id", name="pk_samples"),
        sa.ForeignKeyConstraint(["first_id"], ["served.id"], name="fk_samples_first_id"),
        sa.ForeignKeyConstraint(["second_id"], ["served.id"], name="fk_samples_second_id"),
        sa.CheckConstraint(
            "(control IS NULL) = (first_id IS NULL) AND (control IS NULL) = (second_id IS NULL)",
            name=op.f("ck_samples_control"),
        ),
    )
    op.create_index("ix_samples_at_id", "samples", ["at", "id"])
    op.create_index("ix_samples_key", "samples", ["key"])


def _runs() -> None:
    op.create_table(
        "runs",
        _words("id"),
        _words("sample_id"),
        sa.Column("at", sa.Double, nullable=False),
        _words("side"),
        _words("role"),
        _words("served_id"),
        _words("state"),
        sa.Column("finish_reason", sa.Text),
        sa.Column("tokens_in", sa.Integer, nullable=False),
        sa.Column("tokens_out", sa.Integer, nullable=False),
        sa.Column("redacted", sa.Boolean, nullable=False),
        sa.Column("answer", sa.LargeBinary),
        sa.Column("worker", sa.Text),
        sa.Column("expires", sa.Double),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.ForeignKeyConstraint(["sample_id"], ["samples.id"], name="fk_runs_sample_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["served_id"], ["served.id"], name="fk_runs_served_id"),
    )
    op.create_index("ix_runs_sample_id", "runs", ["sample_id"])
    op.create_index("ix_runs_state_at", "runs", ["state", "at"])


def _scores() -> None:
    op.create_table(
        "scores",
        _words("run_id"),
        sa.Column("number", sa.Integer, nullable=False),
        _words("says"),
        _words("level"),
        sa.Column("seconds", sa.Double, nullable=False),
        _words("program"),
        _words("environment"),
        sa.Column("at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "number", name="pk_scores"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_scores_run_id", ondelete="CASCADE"),
    )


def _counters_and_gaps() -> None:
    op.create_table(
        "counters",
        _words("source"),
        _words("day"),
        _words("counter"),
        _words("model"),
        _words("reason"),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("source", "day", "counter", "model", "reason", name="pk_counters"),
    )
    op.create_table(
        "gaps",
        _words("source"),
        sa.Column("since", sa.Double, nullable=False),
        _words("why"),
        sa.Column("until", sa.Double),
        sa.PrimaryKeyConstraint("source", "since", name="pk_gaps"),
    )


def _keep_from_statistics() -> None:
    """PostgreSQL copies common values of columns into its catalogue, where a purge would not reach them."""
    if op.get_context().dialect.name == "postgresql":
        for table, column in (
            ("samples", "request_id"),
            ("samples", "key"),
            ("samples", "prompt"),
            ("runs", "answer"),
        ):
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0")

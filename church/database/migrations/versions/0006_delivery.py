"""Deployments with their commits, incidents, and bearer tokens of machines."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _deployments()
    _delivered_commits()
    _incidents()
    _api_tokens()


def downgrade() -> None:
    for table in ("api_tokens", "incidents", "delivered_commits", "deployments"):
        op.drop_table(table)


def _deployments() -> None:
    op.create_table(
        "deployments",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("version", sa.Text()),
        sa.Column("commit_sha", sa.String()),
        sa.Column("commits", _JSON, nullable=False),
        sa.Column("url", sa.Text()),
        sa.Column("started_at", _TIME),
        sa.Column("finished_at", _TIME, nullable=False),
        sa.Column("recorded_at", _TIME, nullable=False),
        sa.CheckConstraint("status IN ('success', 'failure', 'rollback')", name="ck_deployments_status"),
        sa.CheckConstraint("kind IN ('normal', 'hotfix')", name="ck_deployments_kind"),
        sa.PrimaryKeyConstraint("id", name="pk_deployments"),
        sa.UniqueConstraint("ref", name="uq_deployments_ref"),
    )
    op.create_index("ix_deployments_environment_finished_at", "deployments", ["environment", "finished_at"])


def _delivered_commits() -> None:
    op.create_table(
        "delivered_commits",
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("sha", sa.String(), nullable=False),
        sa.Column("deployment_id", _BIG_ID, nullable=False),
        sa.Column("committed_at", _TIME, nullable=False),
        sa.Column("delivered_at", _TIME, nullable=False),
        sa.Column("lead_seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("environment", "sha", name="pk_delivered_commits"),
        sa.ForeignKeyConstraint(
            ["deployment_id"], ["deployments.id"], name="fk_delivered_commits_deployment_id_deployments"
        ),
    )
    op.create_index("ix_delivered_commits_deployment_id", "delivered_commits", ["deployment_id"])
    op.create_index(
        "ix_delivered_commits_environment_delivered_at", "delivered_commits", ["environment", "delivered_at"]
    )


def _incidents() -> None:
    op.create_table(
        "incidents",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String()),
        sa.Column("deployment_id", _BIG_ID),
        sa.Column("confidence", sa.Double()),
        sa.Column("opened_at", _TIME, nullable=False),
        sa.Column("resolved_at", _TIME),
        sa.Column("seconds", sa.Double()),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("recorded_at", _TIME, nullable=False),
        sa.CheckConstraint("severity IN ('critical', 'warning', 'info')", name="ck_incidents_severity"),
        sa.CheckConstraint("resolved_at >= opened_at", name="ck_incidents_order"),
        sa.PrimaryKeyConstraint("id", name="pk_incidents"),
        sa.UniqueConstraint("ref", name="uq_incidents_ref"),
        sa.ForeignKeyConstraint(["deployment_id"], ["deployments.id"], name="fk_incidents_deployment_id_deployments"),
    )
    op.create_index("ix_incidents_deployment_id", "incidents", ["deployment_id"])
    op.create_index("ix_incidents_environment_opened_at", "incidents", ["environment", "opened_at"])
    op.create_index(
        "uq_incidents_open_fingerprint",
        "incidents",
        ["fingerprint"],
        unique=True,
        sqlite_where=sa.text("fingerprint IS NOT NULL AND resolved_at IS NULL"),
        postgresql_where=sa.text("fingerprint IS NOT NULL AND resolved_at IS NULL"),
    )


def _api_tokens() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("revoked_at", _TIME),
        sa.PrimaryKeyConstraint("id", name="pk_api_tokens"),
        sa.UniqueConstraint("ref", name="uq_api_tokens_ref"),
    )

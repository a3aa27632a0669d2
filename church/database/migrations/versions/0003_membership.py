"""Membership: customers, subscriptions, the catalogue, invoices, the ledger, Stripe's events, grants and checkouts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_TIME = sa.DateTime(timezone=True)

# The ledger is a record of what happened: what was wrong is put right by a further entry.
_SQLITE_APPEND_ONLY = tuple(
    f"""CREATE TRIGGER ledger_entries_{verb} BEFORE {verb.upper()} ON ledger_entries BEGIN
        SELECT RAISE(ABORT, 'the ledger is append-only'); END"""
    for verb in ("update", "delete")
)
_POSTGRESQL_APPEND_ONLY = (
    """CREATE FUNCTION church_append_only() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$""",
    """CREATE TRIGGER ledger_entries_append_only BEFORE UPDATE OR DELETE ON ledger_entries
        FOR EACH ROW EXECUTE FUNCTION church_append_only()""",
)


def upgrade() -> None:
    _customers()
    _subscriptions()
    _products()
    _prices()
    _invoices()
    _ledger()
    _events()
    _grants()
    _checkouts()
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _SQLITE_APPEND_ONLY if sqlite else _POSTGRESQL_APPEND_ONLY:
        op.execute(statement)


def downgrade() -> None:
    tables = ("checkouts", "grants", "stripe_events", "ledger_entries", "invoices", "prices", "products")
    for table in (*tables, "subscriptions", "customers"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION church_append_only()")


def _customers() -> None:
    op.create_table(
        "customers",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("stripe_id", sa.String(), nullable=False),
        sa.Column("user_id", _BIG_ID, nullable=False),
        sa.Column("delinquent", sa.Boolean(), nullable=False),
        sa.Column("card_brand", sa.Text()),
        sa.Column("card_last4", sa.Text()),
        sa.Column("card_expires", sa.Text()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("deleted_at", _TIME),
        sa.Column("fetched_at", _TIME),
        sa.PrimaryKeyConstraint("id", name="pk_customers"),
        sa.UniqueConstraint("stripe_id", name="uq_customers_stripe_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_customers_user_id_users"),
    )
    op.create_index("ix_customers_user_id", "customers", ["user_id"])


def _subscriptions() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("stripe_id", sa.String(), nullable=False),
        sa.Column("customer_id", _BIG_ID, nullable=False),
        sa.Column("user_id", _BIG_ID, nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("plan", sa.String(), nullable=False),
        sa.Column("stripe_item", sa.String()),
        sa.Column("stripe_price", sa.String()),
        sa.Column("stripe_product", sa.String()),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger()),
        sa.Column("renewal_amount", sa.BigInteger()),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("interval", sa.String()),
        sa.Column("interval_count", sa.Integer(), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("trial_end", _TIME),
        sa.Column("current_period_start", _TIME),
        sa.Column("current_period_end", _TIME),
        sa.Column("cancel_at", _TIME),
        sa.Column("canceled_at", _TIME),
        sa.Column("ended_at", _TIME),
        sa.Column("past_due_since", _TIME),
        sa.Column("collection_paused", sa.Boolean(), nullable=False),
        sa.Column("stripe_schedule", sa.String()),
        sa.Column("next_price", sa.String()),
        sa.Column("next_price_at", _TIME),
        sa.Column("latest_invoice", sa.String()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("fetched_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_subscriptions"),
        sa.UniqueConstraint("stripe_id", name="uq_subscriptions_stripe_id"),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name="fk_subscriptions_customer_id_customers"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_subscriptions_user_id_users"),
    )
    op.create_index("ix_subscriptions_customer_id", "subscriptions", ["customer_id"])
    op.create_index("ix_subscriptions_status_plan", "subscriptions", ["status", "plan"])
    op.create_index("ix_subscriptions_user_id", "subscriptions", ["user_id"])


def _products() -> None:
    op.create_table(
        "products",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("stripe_id", sa.String(), nullable=False),
        sa.Column("plan", sa.String(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("features", _JSON, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("fetched_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_products"),
        sa.UniqueConstraint("stripe_id", name="uq_products_stripe_id"),
    )
    op.create_index("ix_products_plan", "products", ["plan"])


def _prices() -> None:
    op.create_table(
        "prices",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("stripe_id", sa.String(), nullable=False),
        sa.Column("stripe_product", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger()),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("interval", sa.String()),
        sa.Column("interval_count", sa.Integer(), nullable=False),
        sa.Column("trial_days", sa.Integer(), nullable=False),
        sa.Column("tax_behavior", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("fetched_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_prices"),
        sa.UniqueConstraint("stripe_id", name="uq_prices_stripe_id"),
    )
    op.create_index("ix_prices_stripe_product", "prices", ["stripe_product"])


def _invoices() -> None:
    op.create_table(
        "invoices",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("stripe_id", sa.String(), nullable=False),
        sa.Column("customer_id", _BIG_ID, nullable=False),
        sa.Column("user_id", _BIG_ID, nullable=False),
        sa.Column("stripe_subscription", sa.String()),
        sa.Column("number", sa.Text()),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("billing_reason", sa.String()),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("amount_due", sa.BigInteger(), nullable=False),
        sa.Column("amount_paid", sa.BigInteger(), nullable=False),
        sa.Column("amount_remaining", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("problem", sa.Text()),
        sa.Column("hosted_url", sa.Text()),
        sa.Column("pdf_url", sa.Text()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("paid_at", _TIME),
        sa.Column("next_attempt_at", _TIME),
        sa.Column("fetched_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_invoices"),
        sa.UniqueConstraint("stripe_id", name="uq_invoices_stripe_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_invoices_user_id_users"),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name="fk_invoices_customer_id_customers"),
    )
    op.create_index("ix_invoices_customer_id", "invoices", ["customer_id"])
    op.create_index("ix_invoices_stripe_subscription", "invoices", ["stripe_subscription"])
    op.create_index("ix_invoices_user_id_created_at", "invoices", ["user_id", "created_at"])


def _ledger() -> None:
    op.create_table(
        "ledger_entries",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("source_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("user_id", _BIG_ID, nullable=False),
        sa.Column("stripe_customer", sa.String(), nullable=False),
        sa.Column("stripe_invoice", sa.String()),
        sa.Column("stripe_payment", sa.String()),
        sa.Column("occurred_at", _TIME, nullable=False),
        sa.Column("recorded_at", _TIME, nullable=False),
        sa.CheckConstraint("amount <> 0", name="ck_ledger_entries_something"),
        sa.CheckConstraint(
            "kind IN ('payment', 'refund', 'refund_failed', 'dispute', 'dispute_reversal')",
            name="ck_ledger_entries_kind",
        ),
        sa.CheckConstraint(
            "(amount > 0) = (kind IN ('payment', 'refund_failed', 'dispute_reversal'))", name="ck_ledger_entries_sign"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_entries"),
        sa.UniqueConstraint("source_id", name="uq_ledger_entries_source_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_ledger_entries_user_id_users"),
    )
    op.create_index("ix_ledger_entries_currency_occurred_at", "ledger_entries", ["currency", "occurred_at"])
    op.create_index("ix_ledger_entries_occurred_at", "ledger_entries", ["occurred_at"])
    op.create_index("ix_ledger_entries_stripe_invoice", "ledger_entries", ["stripe_invoice"])
    op.create_index("ix_ledger_entries_stripe_payment", "ledger_entries", ["stripe_payment"])
    op.create_index("ix_ledger_entries_user_id", "ledger_entries", ["user_id"])


def _events() -> None:
    op.create_table(
        "stripe_events",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("stripe_id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("object_id", sa.String()),
        sa.Column("payload", _JSON, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease", sa.String()),
        sa.Column("leased_until", _TIME),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("received_at", _TIME, nullable=False),
        sa.Column("processed_at", _TIME),
        sa.Column("request_id", sa.String()),
        sa.CheckConstraint("state IN ('received', 'processed', 'ignored', 'failed')", name="ck_stripe_events_state"),
        sa.PrimaryKeyConstraint("id", name="pk_stripe_events"),
        sa.UniqueConstraint("stripe_id", name="uq_stripe_events_stripe_id"),
    )
    op.create_index("ix_stripe_events_object_id", "stripe_events", ["object_id"])
    op.create_index("ix_stripe_events_received_at", "stripe_events", ["received_at"])
    op.create_index("ix_stripe_events_state_received_at", "stripe_events", ["state", "received_at"])


def _grants() -> None:
    op.create_table(
        "grants",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("user_id", _BIG_ID, nullable=False),
        sa.Column("granted_by", _BIG_ID),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.Column("revoked_at", _TIME),
        sa.PrimaryKeyConstraint("id", name="pk_grants"),
        sa.ForeignKeyConstraint(["granted_by"], ["users.id"], name="fk_grants_granted_by_users"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_grants_user_id_users"),
    )
    op.create_index("ix_grants_user_id", "grants", ["user_id"])


def _checkouts() -> None:
    op.create_table(
        "checkouts",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("user_id", _BIG_ID, nullable=False),
        sa.Column("stripe_price", sa.String(), nullable=False),
        sa.Column("stripe_session", sa.String()),
        sa.Column("url", sa.Text()),
        sa.Column("stripe_subscription", sa.String()),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME),
        sa.CheckConstraint("state IN ('open', 'pending', 'completed', 'expired', 'failed')", name="ck_checkouts_state"),
        sa.PrimaryKeyConstraint("id", name="pk_checkouts"),
        sa.UniqueConstraint("ref", name="uq_checkouts_ref"),
        sa.UniqueConstraint("stripe_session", name="uq_checkouts_stripe_session"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_checkouts_user_id_users"),
    )
    op.create_index("ix_checkouts_user_id", "checkouts", ["user_id"])
    op.create_index(
        "uq_checkouts_open_user_id",
        "checkouts",
        ["user_id"],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )

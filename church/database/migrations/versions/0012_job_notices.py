"""PostgreSQL notifies the worker processes of a job that is queued or put off, so that they need not look for it.

A trigger does it, so that it also works for jobs that a process of the release before queues during an upgrade. On
SQLite nothing is needed: workers notice each commit.
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_FUNCTION = """CREATE FUNCTION notify_of_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('church_jobs', '');
        RETURN NULL;
    END
$$"""
_TRIGGER = """CREATE TRIGGER jobs_notify AFTER INSERT OR UPDATE OF run_at ON jobs
    FOR EACH STATEMENT EXECUTE FUNCTION notify_of_jobs()"""


def upgrade() -> None:
    if _is_postgresql():
        op.execute(_FUNCTION)
        op.execute(_TRIGGER)


def downgrade() -> None:
    if _is_postgresql():
        op.execute("DROP TRIGGER jobs_notify ON jobs")
        op.execute("DROP FUNCTION notify_of_jobs()")


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"

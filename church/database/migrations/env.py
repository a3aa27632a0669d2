"""Alembic's entry point: runs the revisions on the connection that ``church.database.migrations`` has locked."""

from __future__ import annotations

from alembic import context

from church.database.migrations.env_filter import include_object
from church.models import Base


def run() -> None:
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=Base.metadata,
        include_object=include_object,
        transactional_ddl=True,  # SQLite's DDL is transactional when the driver leaves BEGIN to us
    )
    # The connection is in a transaction already: its owner commits it, all revisions or none.
    context.run_migrations()


run()

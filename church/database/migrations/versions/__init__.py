"""One module a revision; Alembic loads them by path."""

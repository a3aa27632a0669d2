"""The SQL condition for an active admin account.

The site checks it at start with sqlite3 alone: loading SQLAlchemy and ``church.models`` would slow down every start.
"""

ACTIVE_ADMIN = "role = 'admin' AND disabled_at IS NULL AND deleted_at IS NULL"

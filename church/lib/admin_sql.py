"""The condition "this account is an active admin", as SQL text.

The start of a site reads it with sqlite3 alone: loading SQLAlchemy, and so ``church.models``, would slow every start.
"""

ACTIVE_ADMIN = "role = 'admin' AND disabled_at IS NULL AND deleted_at IS NULL"

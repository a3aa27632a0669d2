"""Who is an admin to the question whether a site has one: the account is an admin's, and somebody may sign in to it.

Words of SQL, for it is also asked at a start that loads no SQLAlchemy.
"""

ACTIVE_ADMIN = "role = 'admin' AND disabled_at IS NULL AND deleted_at IS NULL"

"""End the sign-ins and revoke the emailed links of a backup: some may have been ended or used after it was made."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, NullPool, create_engine, delete, inspect, update
from sqlalchemy.exc import SQLAlchemyError

from church.backup.archive import BackupError
from church.config import Settings
from church.database.engines import make_upkeep_engine
from church.models import Link, SignIn
from church.models.base import utc_now


def end_in_file(path: Path) -> int:
    """End all sign-ins in an SQLite file that no site uses and return their number. Raises BackupError."""
    return _end(create_engine(f"sqlite:///{path}", poolclass=NullPool))


def end_in_site(settings: Settings) -> int:
    """End all sign-ins in the site's own database and return their number. Raises BackupError."""
    return _end(make_upkeep_engine(settings))


def _end(engine: Engine) -> int:
    try:
        with engine.begin() as connection:
            if not inspect(connection).has_table(SignIn.__tablename__):
                return 0  # the backup is older than accounts
            connection.execute(update(Link).where(Link.used_at.is_(None)).values(used_at=utc_now()))
            return connection.execute(delete(SignIn)).rowcount
    except SQLAlchemyError as error:
        raise BackupError(f"can't end the restored sign-ins: {type(error).__name__}; restore again") from error
    finally:
        engine.dispose()

"""Sign-ins and mailed links of a backup: some were ended or used after it was made, and which ones nobody can tell."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, NullPool, create_engine, delete, inspect, update
from sqlalchemy.exc import SQLAlchemyError

from church.backup.archive import BackupError
from church.config import Settings
from church.database.engines import upkeep_engine
from church.models import Link, SignIn
from church.models.base import utc_now


def end_in_file(path: Path) -> int:
    """End all in an SQLite file that no site uses; how many sign-ins. Raises BackupError."""
    return _end(create_engine(f"sqlite:///{path}", poolclass=NullPool))


def end_in_site(settings: Settings) -> int:
    """The same in the site's own database. Raises BackupError."""
    return _end(upkeep_engine(settings))


def _end(engine: Engine) -> int:
    try:
        with engine.begin() as connection:
            if not inspect(connection).has_table(SignIn.__tablename__):
                return 0  # a backup of before there were accounts
            connection.execute(update(Link).where(Link.used_at.is_(None)).values(used_at=utc_now()))
            return connection.execute(delete(SignIn)).rowcount
    except SQLAlchemyError as error:
        raise BackupError(f"the restored sign-ins can't be ended: {type(error).__name__}; restore again") from error
    finally:
        engine.dispose()

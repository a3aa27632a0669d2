"""Flask extensions of the site. Created here without an app; the factory connects them to one."""

from __future__ import annotations

from flask_compress import Compress

from church.database import Database
from church.store import Store
from church.telemetry import Telemetry

__all__ = ["compress", "db", "store", "telemetry"]

db = Database()
store = Store()
compress = Compress()
telemetry = Telemetry()

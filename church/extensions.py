"""Flask extensions of the site. Created here without an app; the factory connects them to one."""

from __future__ import annotations

from flask_compress import Compress

from church.database import Database
from church.store import Store
from church.store.client import watch_calls
from church.telemetry import Telemetry, record_store_call

__all__ = ["compress", "db", "store", "telemetry"]

db = Database()
store = Store()
compress = Compress()
telemetry = Telemetry()

watch_calls(record_store_call)

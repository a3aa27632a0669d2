"""The extensions of the site: made here, wired in the factory, holding no app."""

from __future__ import annotations

from flask_compress import Compress
from flask_sock import Sock
from flask_wtf import CSRFProtect

from church.database import Database
from church.store import Store
from church.telemetry import Telemetry
from church.web.rate_limits import limiter

__all__ = ["compress", "csrf", "db", "limiter", "sock", "store", "telemetry"]

db = Database()
store = Store()
csrf = CSRFProtect()
compress = Compress()
sock = Sock()
telemetry = Telemetry()

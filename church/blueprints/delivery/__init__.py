"""Deliveries told by machines, and shown: ``/api/telemetry/…`` and ``/dora``."""

from church.blueprints.delivery import events, page
from church.blueprints.delivery.blueprint import bp
from church.blueprints.delivery.events import MACHINES

__all__ = ["MACHINES", "bp", "events", "page"]

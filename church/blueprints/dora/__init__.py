"""Deliveries: the API that pipelines and Alertmanager report to (``/api/telemetry/…``), and the page ``/dora``."""

from church.blueprints.dora import intake, page
from church.blueprints.dora.blueprint import bp
from church.blueprints.dora.intake import MACHINES

__all__ = ["MACHINES", "bp", "intake", "page"]

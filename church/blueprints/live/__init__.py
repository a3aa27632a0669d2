"""The live rooms as their members meet them: pages, forms, and the socket; a room here for each part."""

from church.blueprints.live import messages, rooms, ws
from church.blueprints.live.blueprint import bp

__all__ = ["bp", "messages", "rooms", "ws"]

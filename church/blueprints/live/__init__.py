"""Live chat over HTTP: the pages of rooms and messages, their forms, and the handshake of the WebSocket."""

from church.blueprints.live import closed_rooms, messages, rooms, ws
from church.blueprints.live.blueprint import bp

__all__ = ["bp", "closed_rooms", "messages", "rooms", "ws"]

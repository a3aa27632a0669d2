"""The videos as their visitors meet them: one blueprint, a room for each part of it."""

from church.blueprints.video import access, assets, library, progress, stream, watch
from church.blueprints.video.blueprint import bp

__all__ = ["access", "assets", "bp", "library", "progress", "stream", "watch"]

"""The videos as their visitors meet them: one blueprint, a room for each part of it."""

from church.blueprints.video.blueprint import bp

__all__ = ["bp"]

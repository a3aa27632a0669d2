"""The sections that watch the site. Import each module here and name it in ``__all__``."""

from church.blueprints.admin.watch import security

__all__ = ["security"]

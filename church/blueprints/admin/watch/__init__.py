"""The sections that watch the site. Import each module here and name it in ``__all__``."""

from church.blueprints.admin.watch import errors, logs, metrics, requests, security, traces, vitals

__all__ = ["errors", "logs", "metrics", "requests", "security", "traces", "vitals"]

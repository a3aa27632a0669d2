"""gunicorn's master: its lines in the site's shape, and nothing else of the site loaded.

The master forks; what it has imported, its workers inherit. So it reads the settings and writes logs, and each
worker imports the site anew, which is what makes a reload (SIGHUP) run new code.
"""

from __future__ import annotations

from typing import Any

from gunicorn import glogging

from church.config import load_settings
from church.observability import logs
from church.version import VERSION


class MasterLogger(glogging.Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's logger, writing the site's JSON records; requests are told by the telemetry, not by gunicorn."""

    def setup(self, cfg: Any) -> None:
        """Send gunicorn's own lines to the log folder and the console, written at once: no thread before a fork."""
        super().setup(cfg)
        settings = load_settings()
        static = {"service": "church", "version": VERSION, "environment": settings.environment}
        logs.install(logs.build(settings.log_dir, static, dict, lambda _count: None), settings.log_level)
        self.error_log.setLevel(self.loglevel)

    def access(self, *_args: Any) -> None:
        """One access record a request, and it is the telemetry's."""

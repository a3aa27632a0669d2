"""gunicorn's master: its lines in the site's shape, and nothing else of the site loaded.

The master forks; what it has imported, its workers inherit. So it reads the settings and writes logs, and each
worker imports the site anew, which is what makes a reload (SIGHUP) run new code.
"""

from __future__ import annotations

from typing import Any

from gunicorn import glogging

from church.config import Settings, load_settings
from church.lib.version import VERSION
from church.observability.logs import records


def install_logs(settings: Settings) -> None:
    """Write the records of a process that forks: to the log folder and the console, at once, without a thread."""
    static = {"service": "church", "version": VERSION, "environment": settings.environment}
    records.install(records.build(settings.log_dir, static, dict, lambda _count: None), settings.log_level)


class MasterLogger(glogging.Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's logger, writing the site's JSON records; requests are told by the telemetry, not by gunicorn."""

    def setup(self, cfg: Any) -> None:
        """Send gunicorn's own lines where all others go."""
        super().setup(cfg)
        install_logs(load_settings())
        self.error_log.setLevel(self.loglevel)

    def access(self, *_args: Any) -> None:
        """One access record a request, and it is the telemetry's."""

"""Logging of gunicorn's master in the site's JSON format, without loading the site: it is needed before."""

from __future__ import annotations

import logging
from typing import Any

from gunicorn import glogging

from church.config import Settings, find_weak_settings, load_settings
from church.server.direct_logs import describe_logs, install_logs

log = logging.getLogger("church.server")


def _warn_of_weak_settings(settings: Settings) -> None:
    """Log each setting that weakens the site; the master does it, once a start or reload."""
    for name, problem, fix in find_weak_settings(settings):
        log.warning("%s: %s. Better: %s.", name, problem, fix, extra={"event": "settings.weak", "setting": name})


class MasterLogger(glogging.Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's logger, writing the site's JSON records. Telemetry logs the requests, not gunicorn."""

    def setup(self, cfg: Any) -> None:
        """Send gunicorn's own lines to the site's log."""
        super().setup(cfg)
        settings = load_settings()
        install_logs(describe_logs(settings))
        _warn_of_weak_settings(settings)
        self.error_log.setLevel(self.loglevel)

    def access(self, *_args: Any) -> None:
        """Log nothing: telemetry writes the one access record of a request."""

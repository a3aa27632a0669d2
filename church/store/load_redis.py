"""Import redis-py without its metrics, which nobody reads: what they are made with would cost each start 2 MiB."""

from __future__ import annotations

from church.lib.imports import hidden_modules

with hidden_modules("opentelemetry.sdk.metrics"):
    import redis  # noqa: F401

"""Metrics, logs, traces and the threat scan. Only ``church.telemetry`` imports these modules."""

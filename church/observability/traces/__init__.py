"""OpenTelemetry spans of sampled requests."""

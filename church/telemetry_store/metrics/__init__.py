"""Samples of the metrics: read /metrics of this host, keep increases, thin what is old, and answer for charts."""

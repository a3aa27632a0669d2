"""Prometheus metrics: the collectors, the files they count in, and the scrape."""

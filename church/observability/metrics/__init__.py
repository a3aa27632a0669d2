"""Prometheus collectors, their files, and the scrape."""

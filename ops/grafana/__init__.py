"""Grafana's dashboards, made by code: `python -m ops.grafana.build` writes dashboards/*.json."""

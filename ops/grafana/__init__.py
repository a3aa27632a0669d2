"""Grafana dashboards, generated from code: `python -m ops.grafana.build` writes dashboards/*.json."""

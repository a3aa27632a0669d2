"""The telemetry store: a process of its own that keeps what the site has recorded, and answers questions about it.

Only ``church.cli`` imports it. It imports ``church.lib`` and itself, and stays small: DuckDB is loaded in a child.
"""

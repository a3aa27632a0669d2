"""One module for each dashboard: its panels with their queries and descriptions."""

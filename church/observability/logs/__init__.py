"""JSON log records and where they are written."""

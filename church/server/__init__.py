"""The processes of a running site: supervisor, gunicorn's worker, and what is done before they start."""

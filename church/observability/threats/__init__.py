"""The scan of requests for attack patterns."""

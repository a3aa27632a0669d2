"""General helpers. They import nothing of the site except ``church.errors``."""

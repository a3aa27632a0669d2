"""Browser tests: a real Chromium and real gunicorn workers.

This is a package so that its package-scoped fixtures, such as the browser, end with it.
"""

"""The site without rate limits, for comparison."""

from __future__ import annotations

from church import create_app
from church.web import rate_limits

app = create_app()
app.before_request_funcs[None].remove(rate_limits.refuse_over_limit)

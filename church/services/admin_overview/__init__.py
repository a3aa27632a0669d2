"""The site at a glance, for the first page of the admin area: health, counts, last errors, and which version runs."""

from __future__ import annotations

from church.services.admin_overview.retry_failed import retry_email, retry_job
from church.services.admin_overview.site_overview import read_overview

__all__ = ["read_overview", "retry_email", "retry_job"]

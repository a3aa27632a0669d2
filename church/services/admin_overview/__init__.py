"""The site at a glance, for the first page of the admin area: health, counts, last errors, and which version runs."""

from __future__ import annotations

from church.services.admin_overview.counts import MemberCounts
from church.services.admin_overview.health import Part
from church.services.admin_overview.last_errors import ErrorLog
from church.services.admin_overview.site_overview import Overview, overview

__all__ = ["ErrorLog", "MemberCounts", "Overview", "Part", "overview"]

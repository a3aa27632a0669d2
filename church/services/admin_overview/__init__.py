"""The site at a glance, for the first page of the admin area: health, counts, last errors, and which version runs."""

from __future__ import annotations

from church.services.admin_overview.find_hits import Hit, Kind, find_anything
from church.services.admin_overview.request_rows import RequestRows, find_request_rows
from church.services.admin_overview.retry_failed import retry_email, retry_job
from church.services.admin_overview.settings_list import SettingView, list_settings
from church.services.admin_overview.site_overview import read_health, read_overview

__all__ = [
    "Hit",
    "Kind",
    "RequestRows",
    "SettingView",
    "find_anything",
    "find_request_rows",
    "list_settings",
    "read_health",
    "read_overview",
    "retry_email",
    "retry_job",
]

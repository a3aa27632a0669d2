"""Errors of the site, grouped by class and place: which are new, open, resolved, ignored or back again.

The telemetry store reports what occurs, and keeps each occurrence. The database keeps what admins decide, so that it is
the same on all hosts and outlasts the occurrences.
"""

from church.services.error_groups.cleanup import purge_old
from church.services.error_groups.decide import change_state
from church.services.error_groups.emails import email_admins
from church.services.error_groups.groups import GroupView, count_open_groups, find_groups, list_groups
from church.services.error_groups.report import SeenError, read_report, record_errors

__all__ = [
    "GroupView",
    "SeenError",
    "change_state",
    "count_open_groups",
    "email_admins",
    "find_groups",
    "list_groups",
    "purge_old",
    "read_report",
    "record_errors",
]

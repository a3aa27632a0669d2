"""The admin area: one blueprint, with a module for each section.

For a new section, add a module with its views and import it below. The number orders the navigation::

    @bp.get("/costs")
    @section("Costs", 60)
    @allow(ADMINS)
    @limited("page")
    def costs() -> Response:
        return answer("admin/costs.html", {"costs": service.costs()})

Its template extends ``admin/_page.html``. A client that prefers JSON gets the same data without the template.
"""

from church.blueprints.admin import (
    audit,
    emails,
    jobs,
    live,
    live_notice,
    live_sanctions,
    maintenance,
    members,
    membership,
    membership_events,
    membership_grants,
    membership_ledger,
    membership_unmatched,
    overview,
    video_parts,
    video_uploads,
    videos,
)
from church.blueprints.admin.area import bp

__all__ = [
    "audit",
    "bp",
    "emails",
    "jobs",
    "live",
    "live_notice",
    "live_sanctions",
    "maintenance",
    "members",
    "membership",
    "membership_events",
    "membership_grants",
    "membership_ledger",
    "membership_unmatched",
    "overview",
    "video_parts",
    "video_uploads",
    "videos",
]

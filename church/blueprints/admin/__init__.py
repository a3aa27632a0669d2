"""The admin area: one blueprint, with a module for each section.

For a new section, add a module with its views and import it below. It names its group of the menu and its place there::

    @bp.get("/costs")
    @section("Costs", Group.SYSTEM, 60)
    @allow(ADMINS)
    @limited("page")
    def costs() -> Response:
        return answer("admin/costs.html", {"costs": service.costs()})

Its template extends ``admin/_page.html``. A client that prefers JSON gets the same data without the template.
"""

from church.blueprints.admin import (
    audit,
    emails,
    find,
    health,
    jobs,
    live,
    live_notice,
    live_sanctions,
    maintenance,
    members,
    money,
    overview,
    settings,
    video_parts,
    video_uploads,
    videos,
    watch,
)
from church.blueprints.admin.area import bp

__all__ = [
    "audit",
    "bp",
    "emails",
    "find",
    "health",
    "jobs",
    "live",
    "live_notice",
    "live_sanctions",
    "maintenance",
    "members",
    "money",
    "overview",
    "settings",
    "video_parts",
    "video_uploads",
    "videos",
    "watch",
]

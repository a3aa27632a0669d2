"""The first page of the admin area."""

from __future__ import annotations

from flask import Response, request

from church.blueprints.admin.area import Group, bp, render_answer, section
from church.blueprints.admin.overview_figures import Kept, list_figures
from church.blueprints.admin.watch.chart_marks import find_timeline, mark_timeline
from church.blueprints.admin.watch.store_answers import StoreAnswers
from church.config import current_settings
from church.services.admin_overview import read_overview
from church.web.rate_limits import limited
from church.web.route_access import ADMINS, allow
from church.web.time_ranges import list_ranges, read_range

_REFRESH = ((6 * 3600, 15), (2 * 86400, 60), (8 * 86400, 300))
"""Up to these lengths in seconds, a range is looked at again after so many."""
_REFRESH_LONG = 900


@bp.get("/")
@section("Overview", Group.SITE, 10, "o")
@allow(ADMINS)
@limited("page")
def glance() -> Response:
    """Show what visitors did in a time, health, incidents and counts; ``all`` adds what admins did."""
    settings, range_, store = current_settings(), read_range(request.args), StoreAnswers()
    timeline, shows_all = find_timeline(range_), bool(request.args.get("all"))
    kept = Kept(settings.observatory_days, settings.observatory_address_days)
    figures = list_figures(range_, store, kept, exclude_admin=not shows_all)
    data = {
        "overview": read_overview(settings),
        "range": range_.query,
        "all": shows_all,
        "figures": [{"name": one.name, "value": one.value, "change": one.change} for one in figures],
        "delivery": {"last": timeline.last, "open_incidents": timeline.open_incidents}
        if timeline is not None
        else None,
        "problem": store.problem,
        "store_is_down": store.is_down,
    }
    return render_answer(
        "admin/overview.html",
        data,
        drawn=figures,
        chosen_range=range_,
        ranges=list_ranges(),
        marks=mark_timeline(timeline, range_) if timeline is not None else [],
        refresh=next((pause for longest, pause in _REFRESH if range_.seconds <= longest), _REFRESH_LONG),
    )

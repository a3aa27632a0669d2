"""Log records: search, counts over time, facets, the records around one, and an export."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from flask import Response, request

from church.blueprints.admin.area import Group, bp, finds, render_answer, section
from church.blueprints.admin.list_filters import read_number, read_text
from church.blueprints.admin.watch.chart_marks import list_marks
from church.blueprints.admin.watch.store_answers import StoreAnswers, list_facts
from church.config import current_settings
from church.errors import InvalidError, NotFoundError, UnavailableError
from church.services import telemetry_queries
from church.services.telemetry_queries import Row
from church.web.charts import Series, draw_bars, units
from church.web.rate_limits import limited
from church.web.route_access import ADMINS, allow
from church.web.time_ranges import Range, list_ranges, read_range

SHOWN = 100
_EXPORTED = 100_000
_EXPORT_PAGE = 1000
_AROUND = 25
_BARS = 80
_LONGEST_TEXT = 200
_LIVE_SECONDS = 3
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_FILTERS = {
    "q": "text",
    "level": "level",
    "event": "event",
    "route": "route",
    "status": "status",
    "method": "method",
    "logger": "logger",
    "member": "user_ref",
    "request": "request_id",
    "address": "ip",
    "error": "fingerprint",
    "job": "job_kind",
    "host": "host",
}
"""The parameters of the page, with the names that the store has for them."""
_FACETS = {"level": "level", "event": "event", "route": "route", "status": "status", "logger": "logger", "host": "host"}
_CURSOR = re.compile(r"(\d{1,18})\.(\d{1,18})")
_IN_THE_LINE = frozenset({"ts", "seq", "level", "message"})


@bp.get("/logs")
@finds("event", "event")
@finds("ip", "address")
@section("Logs", Group.WATCH, 20, "l")
@allow(ADMINS)
@limited("page")
def logs() -> Response:
    """Show the records of a time, newest first, with counts over time and the most frequent values beside them."""
    days = current_settings().observatory_days
    range_, chosen, store = read_range(request.args, days, "1h"), _read_chosen(), StoreAnswers()
    span = {"from": range_.from_us, "to": range_.to_us, "filters": _to_filters(chosen)}
    before = _read_cursor()
    found = store.ask("logs.search", **span, limit=SHOWN, before=before)
    counts = store.ask("logs.counts", **span, buckets=_BARS) if before is None else None
    facets = store.ask("logs.facets", **span, top=8)
    last = found.rows[-1] if found.rows and found.has_more else None
    data = {
        "range": range_.query,
        "filters": chosen,
        "records": found.rows,
        "facets": facets.rows,
        "older": f"{last['ts']}.{last['seq']}" if last else None,
        "problem": store.problem,
        "store_is_down": store.is_down,
    }
    return render_answer(
        "admin/watch/logs.html",
        data,
        chosen_range=range_,
        ranges=list_ranges(days),
        chart=None if counts is None else _draw_counts(counts.rows, range_),
        facet_groups=_group_facets(facets.rows),
        facts_of=_list_facts,
        levels=LEVELS,
        live=_LIVE_SECONDS if range_.is_live and before is None else None,
    )


@bp.get("/logs/around")
@allow(ADMINS)
@limited("page")
def logs_around() -> Response:
    """Show one record with those of its host before and after it."""
    ts, seq, host = read_number("ts"), read_number("seq"), read_text("host", 255)
    if ts is None or seq is None:
        raise NotFoundError
    store = StoreAnswers()
    found = store.ask("logs.around", ts=ts, seq=seq, host=host or None, count=_AROUND)
    data = {"records": found.rows, "seq": seq, "problem": store.problem, "store_is_down": store.is_down}
    return render_answer("admin/watch/logs_around.html", data, facts_of=_list_facts)


@bp.get("/logs.jsonl")
@allow(ADMINS)
@limited("page")
def logs_export() -> Response:
    """Download the records of a search as JSON lines, newest first, at most 100,000 of them."""
    range_ = read_range(request.args, current_settings().observatory_days, "1h")
    span = {"from": range_.from_us, "to": range_.to_us, "filters": _to_filters(_read_chosen())}
    settings = current_settings()
    first = telemetry_queries.ask(settings, "logs.search", **span, limit=_EXPORT_PAGE)

    def lines() -> Iterator[str]:
        answer, count = first, 0
        while answer.rows:
            yield "".join(_write_line(row) for row in answer.rows)
            count += len(answer.rows)
            if not answer.has_more or count >= _EXPORTED:
                return
            before = {"ts": answer.rows[-1]["ts"], "seq": answer.rows[-1]["seq"]}
            try:
                answer = telemetry_queries.ask(settings, "logs.search", **span, limit=_EXPORT_PAGE, before=before)
            except UnavailableError as error:
                yield json.dumps({"incomplete": str(error)}) + "\n"
                return

    response = Response(lines(), mimetype="application/x-ndjson")
    name = f"logs-{range_.end:%Y%m%dT%H%M%SZ}.jsonl"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _read_chosen() -> dict[str, str]:
    """The filters in the query that are set, by the names of the page's parameters."""
    chosen = {name: read_text(name, _LONGEST_TEXT) for name in (*_FILTERS, "all")}
    return {name: text for name, text in chosen.items() if text}


def _to_filters(chosen: dict[str, str]) -> dict[str, Any]:
    """The filters as the store reads them. The admin area's own requests are left out unless ``all`` is set."""
    filters: dict[str, Any] = {stored: chosen[name] for name, stored in _FILTERS.items() if name in chosen}
    if "all" not in chosen and not {"request", "route", "member"} & chosen.keys():
        filters["exclude_admin"] = True
    return filters


def _read_cursor() -> dict[str, int] | None:
    text = read_text("before")
    if not text:
        return None
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise InvalidError("“before” must be the place of a record, such as 1780000000000000.42.")
    return {"ts": int(match[1]), "seq": int(match[2])}


def _draw_counts(rows: list[Row], range_: Range) -> Any:
    """Bars of the counts by level: what went wrong is at the bottom, where it is seen."""
    width = -(-(range_.to_us - range_.from_us) // _BARS)
    groups = {"errors": {"ERROR", "CRITICAL"}, "warnings": {"WARNING"}, "other records": {"INFO", "DEBUG"}}
    series = []
    for words, levels in groups.items():
        points: dict[int, float] = {}
        for row in rows:
            if row["level"] in levels:
                points[row["at"]] = points.get(row["at"], 0.0) + row["count"]
        series.append(Series(words, sorted(points.items())))
    span = Range(range_.from_us, range_.to_us, max(1, width // 1_000_000))
    return draw_bars(series, span, units.COUNT, list_marks(span))


def _group_facets(rows: list[Row]) -> list[tuple[str, list[Row]]]:
    """The facets that tell records apart: their name as a parameter, and their values, most frequent first."""
    groups = [(name, [row for row in rows if row["facet"] == facet]) for name, facet in _FACETS.items()]
    return [(name, values) for name, values in groups if len(values) > (1 if name == "host" else 0)]


def _list_facts(row: Row) -> list[tuple[str, Any]]:
    return list_facts(row, _IN_THE_LINE)


def _write_line(row: Row) -> str:
    at = datetime.fromtimestamp(row["ts"] / 1e6, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    facts = dict(list_facts(row, frozenset({"ts", "seq"})))
    return json.dumps({"timestamp": at, **facts}, ensure_ascii=False) + "\n"

"""The figures of the overview: each with its course over a time, and how it has changed since the time before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from flask import url_for

from church.blueprints.admin.watch.store_answers import StoreAnswers
from church.models.base import utc_now
from church.models.billing import CURRENT_STATUSES
from church.web.charts import Points, Spark, draw_spark, units
from church.web.charts.units import Unit
from church.web.time_ranges import Range

_REQUESTS, _DURATION = "http_requests_total", "http_request_duration_seconds"
_PAID, _REFUNDED = "stripe_payment_value_total", "stripe_refund_value_total"
_FAILURES = [str(status) for status in range(500, 512)]
_PLAYED = ["started"]
_VISITOR_SLICES = 120
_AMOUNT = 0.005
"""Of money in major units; less is nothing."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """A number with its title. ``change`` is the share by which it grew, None if that is unknown or says nothing."""

    name: str
    title: str
    text: str
    value: float | None
    href: str
    note: str = ""
    change: float | None = None
    points: Points = ()
    spark: Spark | None = None

    @property
    def is_known(self) -> bool:
        """Whether there is a value."""
        return self.value is not None


class _Questions:
    """Questions of metrics that are asked in one; each is known by its key."""

    def __init__(self, range_: Range, exclude_admin: bool) -> None:
        self._exclude_admin = exclude_admin
        self._spans: dict[str, dict[str, Any]] = {
            "course": {"from": range_.from_us, "to": range_.to_us, "step": range_.step},
            "now": {"from": range_.from_us, "to": range_.to_us, "whole": True},
            "before": {"from": range_.before.from_us, "to": range_.before.to_us, "whole": True},
        }
        self._asked: list[tuple[str, str]] = []
        self._ranges: list[dict[str, Any]] = []
        self._rows: dict[tuple[str, str], list[Row]] = {}

    def add(self, key: str, spans: Iterable[str], name: str, fn: str, **more: Any) -> None:
        """Ask for a metric in some of: the ``course`` of the range, all of it ``now``, and of the range ``before``."""
        if name.startswith("http_"):
            more["exclude_admin"] = self._exclude_admin
        for span in spans:
            self._asked.append((key, span))
            self._ranges.append({"name": name, "fn": fn, **more, **self._spans[span]})

    def ask(self, store: StoreAnswers) -> None:
        """Ask all of them."""
        for row in store.ask("metrics.many", ranges=self._ranges).rows:
            self._rows.setdefault(self._asked[row["index"]], []).append(row)

    def course(self, key: str) -> Points:
        """The points over the range; where there are several groups, of the largest."""
        rows = self._rows.get((key, "course"))
        return [(at, value) for at, value in rows[0]["points"]] if rows else []

    def total(self, key: str, span: str) -> float | None:
        """The value of all of a range; None if there is none."""
        rows = self._rows.get((key, span))
        return rows[0]["points"][0][1] if rows and rows[0]["points"] else None

    def by_label(self, key: str, span: str, label: str) -> dict[str, Points]:
        """The points of each group by the value of a label."""
        return {row["labels"][label]: row["points"] for row in self._rows.get((key, span), ())}


@dataclass(frozen=True)
class Kept:
    """For how many days records are kept, and for how many of them the addresses in them are whole."""

    records: int
    addresses: int


def list_figures(range_: Range, store: StoreAnswers, kept: Kept, *, exclude_admin: bool) -> list[Figure]:
    """Ask the store for all figures at once; without it, none is known."""
    questions = _Questions(range_, exclude_admin)
    _add_questions(questions)
    questions.ask(store)
    figures = [
        *_figures_of_requests(questions, range_, exclude_admin=exclude_admin),
        *_visitors(range_, store, kept, exclude_admin=exclude_admin),
        _counted("sign_ups", "Sign-ups", questions, url_for("admin.members")),
        _subscribers(questions),
        *_revenue(questions),
        _gauge("live", "Live connections", questions, url_for("admin.live")),
        _counted("streams", "Videos played", questions, _chart("increase(video_streams_total)", range_)),
        _gauge("queue", "Jobs waiting", questions, url_for("admin.jobs")),
    ]
    return [_with_spark(figure, range_) for figure in figures]


def _add_questions(questions: _Questions) -> None:
    both = ("course", "before")
    questions.add("requests", both, _REQUESTS, "increase")
    questions.add("failures", both, _REQUESTS, "increase", where={"status_code": _FAILURES})
    questions.add("p95", ("course", "now", "before"), _DURATION, "quantile", q=0.95)
    questions.add("p50", ("now",), _DURATION, "quantile", q=0.5)
    questions.add("p99", ("now",), _DURATION, "quantile", q=0.99)
    questions.add("sign_ups", both, "user_registrations_total", "increase")
    current = {"status": sorted(CURRENT_STATUSES)}
    questions.add("subscribers", ("course",), "stripe_subscriptions_active", "value", where=current)
    questions.add("paid", both, _PAID, "increase", by=["currency"])
    questions.add("refunded", both, _REFUNDED, "increase", by=["currency"])
    questions.add("live", ("course",), "websocket_connections_active", "value")
    questions.add("streams", both, "video_streams_total", "increase", where={"outcome": _PLAYED})
    questions.add("queue", ("course",), "jobs_pending", "value")


# -- requests and visitors --------------------------------------------------------------------------------------------


def _figures_of_requests(questions: _Questions, range_: Range, *, exclude_admin: bool) -> list[Figure]:
    requests = _counted("requests", "Requests", questions, _chart(f"rate({_REQUESTS})", range_))
    failures = _counted("failures", "Requests that failed", questions, _link("admin.errors", range_))
    note = ""
    if requests.value and failures.value is not None:
        note = f"{units.RATIO.write(failures.value / requests.value)} of requests"
    return [requests, replace(failures, note=note), _response_time(questions, range_)]


def _response_time(questions: _Questions, range_: Range) -> Figure:
    p50, p95, p99 = (questions.total(key, "now") for key in ("p50", "p95", "p99"))
    write = units.SECONDS.write
    return Figure(
        "response_time",
        "Response time, p95",
        _write(p95, units.SECONDS),
        p95,
        _link("admin.traces", range_),
        f"p50 {write(p50)}, p99 {write(p99)}" if p50 is not None and p99 is not None else "",
        _growth(p95, questions.total("p95", "before")),
        questions.course("p95"),
    )


def _visitors(range_: Range, store: StoreAnswers, kept: Kept, *, exclude_admin: bool) -> list[Figure]:
    """Visitors as far as records are kept: a longer range does not show them.

    Of cut addresses all in a network are one, so they are not compared with whole ones.
    """
    if _is_older(range_, kept.records):
        return []
    slices = min(_VISITOR_SLICES, max(1, range_.seconds // range_.step))
    asked = {"buckets": slices, "exclude_admin": exclude_admin}
    found = store.ask("visitors.counts", **{"from": range_.from_us, "to": range_.to_us}, **asked).rows
    value = _all_of(found, store)
    before = None
    if not _is_older(range_.before, kept.addresses):
        span = {"from": range_.before.from_us, "to": range_.before.to_us}
        before = _all_of(store.ask("visitors.counts", **span, buckets=1, exclude_admin=exclude_admin).rows, store)
    return [
        Figure(
            "visitors",
            "Visitors",
            _write(value, units.COUNT),
            value,
            _link("admin.logs", range_, event="http.request"),
            f"networks from {kept.addresses} days ago on"
            if _is_older(range_, kept.addresses)
            else "by their addresses",
            _growth(value, before),
            _fill(found, range_, slices),
        )
    ]


def _is_older(range_: Range, days: int) -> bool:
    """Whether a range begins more than so many days ago."""
    return utc_now() - range_.start > timedelta(days=days, minutes=1)


def _all_of(rows: Sequence[Row], store: StoreAnswers) -> float | None:
    if store.is_down or store.problem:
        return None
    return float(next((row["visitors"] for row in rows if row["at"] is None), 0))


def _fill(rows: Sequence[Row], range_: Range, slices: int) -> Points:
    """The points of all slices: nobody came in those without a row."""
    if not rows:
        return []
    counts = {row["at"]: float(row["visitors"]) for row in rows if row["at"] is not None}
    width = -(-(range_.to_us - range_.from_us) // slices)
    return [(at, counts.get(at, 0.0)) for at in range(range_.from_us, range_.to_us, width)]


# -- members and money ------------------------------------------------------------------------------------------------


def _subscribers(questions: _Questions) -> Figure:
    course = questions.course("subscribers")
    values = _values(course)
    now, first = (values[-1], values[0]) if values else (None, None)
    return Figure(
        "subscribers",
        "Subscriptions",
        _write(now, units.COUNT),
        now,
        url_for("admin.membership"),
        "",
        _growth(now, first),
        course,
    )


def _revenue(questions: _Questions) -> list[Figure]:
    """A figure for each currency in which money came or went, the one with most first."""
    nets = {span: _nets(questions, span) for span in ("course", "before")}
    totals = {currency: sum(_values(points)) for currency, points in nets["course"].items()}
    shown = [one for one in sorted(totals, key=lambda one: -abs(totals[one])) if abs(totals[one]) >= _AMOUNT]
    if not shown:
        is_known = bool(questions.course("requests"))
        points = [(at, 0.0) for at, _ in questions.course("requests")]
        return [
            Figure("revenue", "Revenue", "0" if is_known else "", 0.0 if is_known else None, _ledger(), points=points)
        ]
    return [
        Figure(
            f"revenue_{currency}",
            "Revenue" if len(shown) == 1 else f"Revenue, {currency.upper()}",
            f"{totals[currency]:,.2f} {currency.upper()}",
            totals[currency],
            _ledger(),
            "payments less refunds",
            _growth(totals[currency], sum(_values(nets["before"].get(currency, ())))),
            nets["course"][currency],
        )
        for currency in shown[:3]
    ]


def _nets(questions: _Questions, span: str) -> dict[str, Points]:
    """Payments less refunds by currency."""
    paid, refunded = (questions.by_label(key, span, "currency") for key in ("paid", "refunded"))
    nets: dict[str, Points] = {}
    for currency in sorted({*paid, *refunded}):
        back = {at: value or 0.0 for at, value in refunded.get(currency, ())}
        points = paid.get(currency) or [(at, 0.0) for at in back]
        nets[currency] = [(at, None if value is None else value - back.get(at, 0.0)) for at, value in points]
    return nets


def _ledger() -> str:
    return url_for("admin.membership_ledger")


# -- kinds of figures -------------------------------------------------------------------------------------------------


def _counted(key: str, title: str, questions: _Questions, href: str) -> Figure:
    """How often something happened in all of the range."""
    course = questions.course(key)
    values = _values(course)
    value = sum(values) if values else None
    before = questions.total(key, "before")
    return Figure(key, title, _write(value, units.COUNT), value, href, "", _growth(value, before), course)


def _gauge(key: str, title: str, questions: _Questions, href: str) -> Figure:
    """How much there was at the end, and at most."""
    course = questions.course(key)
    values = _values(course)
    now = values[-1] if values else None
    note = f"up to {units.COUNT.write(round(max(values)))} in this time" if values else ""
    return Figure(key, title, _write(now and round(now), units.COUNT), now, href, note, None, course)


def _with_spark(figure: Figure, range_: Range) -> Figure:
    is_drawn = len(_values(figure.points)) > 1
    return replace(figure, spark=draw_spark(figure.points, range_) if is_drawn else None)


def _values(points: Points) -> list[float]:
    return [value for _, value in points if value is not None]


def _write(value: float | None, unit: Unit) -> str:
    return "" if value is None else unit.write(value)


def _growth(now: float | None, before: float | None) -> float | None:
    """The share by which ``now`` is more than ``before``; None if there was nothing before."""
    return None if now is None or not before or before < 0 else (now - before) / before


def _chart(expression: str, range_: Range) -> str:
    return _link("admin.metrics", range_, show=expression)


def _link(endpoint: str, range_: Range, **more: str) -> str:
    values: dict[str, Any] = {**more, **range_.query}
    return url_for(endpoint, **values)

"""The range of time that a page shows: one of the usual ones up to now, or from one day or time to another, in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from church.errors import InvalidError
from church.web.charts import Span

USUAL = {
    "1h": (3600, "1 hour"),
    "6h": (6 * 3600, "6 hours"),
    "24h": (86400, "24 hours"),
    "7d": (7 * 86400, "7 days"),
    "30d": (30 * 86400, "30 days"),
    "90d": (90 * 86400, "90 days"),
}
"""Each range with its length in seconds and its words."""
DEFAULT = "24h"
_STEPS = (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 7 * 86400)
_MOST_POINTS = 240
_THINNED = ((2 * 86400, 300), (90 * 86400, 3600))
"""From these ages in seconds on, samples are kept at these distances."""
_YEARS = (2000, 2100)
_DAY_LENGTH = len("2026-05-31")
_GRAIN = 15  # seconds: the end of a range up to now falls on these
_LONGEST = timedelta(days=1100)


@dataclass(frozen=True)
class Range(Span):
    """A range of time; ``name`` is empty unless it is a usual one up to now."""

    name: str = ""

    @property
    def is_live(self) -> bool:
        """Whether the range ends now, so that new values come."""
        return bool(self.name)

    @property
    def seconds(self) -> int:
        """The length."""
        return (self.to_us - self.from_us) // 1_000_000

    @property
    def query(self) -> dict[str, str]:
        """The parameters that lead to this range again."""
        if self.name:
            return {"range": self.name}
        return {"from": f"{self.start:%Y-%m-%dT%H:%M:%SZ}", "to": f"{self.end:%Y-%m-%dT%H:%M:%SZ}"}

    @property
    def before(self) -> Range:
        """The range of the same length that ends where this one begins."""
        return Range(2 * self.from_us - self.to_us, self.from_us, self.step)


def read_range(args: Mapping[str, str], kept_days: float = 730, default: str = DEFAULT) -> Range:
    """Read ``range``, or ``from`` and ``to``, from a query; ``to`` as a day includes that day.

    ``kept_days`` is how long the data is kept: a usual range beyond that is refused. Raises InvalidError.
    """
    now = datetime.now(UTC)
    if not args.get("from") and not args.get("to"):
        return _usual(args.get("range", "") or default, kept_days, now)
    end = _read_moment(args, "to", now, whole_day=True)
    start = _read_moment(args, "from", end - timedelta(days=1), whole_day=False)
    if start >= end:
        raise InvalidError("“from” must be before “to”.")
    if end - start > _LONGEST:
        raise InvalidError("“from” and “to” may be at most three years apart.")
    return Range(_micros(start), _micros(end), choose_step(start, end, now))


def list_ranges(kept_days: float = 730) -> list[tuple[str, str]]:
    """List the names and words of the usual ranges, none of them longer than the data is kept."""
    return [(name, words) for name, (seconds, words) in USUAL.items() if seconds <= kept_days * 86400]


def choose_step(start: datetime, end: datetime, now: datetime) -> int:
    """Return the seconds between two points of a chart: at most 240 of them, and none finer than what is kept."""
    age, seconds = (now - start).total_seconds(), (end - start).total_seconds()
    kept = max((step for limit, step in _THINNED if age > limit + 3600), default=_STEPS[0])
    return next((step for step in _STEPS if step >= kept and seconds / step <= _MOST_POINTS), _STEPS[-1])


def _usual(name: str, kept_days: float, now: datetime) -> Range:
    if name not in dict(list_ranges(kept_days)):
        raise InvalidError(f"“range” must be one of: {', '.join(name for name, _ in list_ranges(kept_days))}.")
    to_us = (_micros(now) // 1_000_000 // _GRAIN + 1) * _GRAIN * 1_000_000
    from_us = to_us - USUAL[name][0] * 1_000_000
    start, end = datetime.fromtimestamp(from_us / 1e6, UTC), datetime.fromtimestamp(to_us / 1e6, UTC)
    return Range(from_us, to_us, choose_step(start, end, now), name)


def _read_moment(args: Mapping[str, str], name: str, otherwise: datetime, *, whole_day: bool) -> datetime:
    text = args.get(name, "").strip()[:40]
    if not text:
        return otherwise
    moment = _parse(text)
    if moment is None:
        raise InvalidError(f"“{name}” must be a day such as 2026-05-31 or a time such as 2026-05-31T14:00:00Z.")
    return moment + timedelta(days=1 if whole_day and len(text) == _DAY_LENGTH else 0)


def _parse(text: str) -> datetime | None:
    """Parse a day or a time of the years that a site can have data of; without a zone it is in UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if not _YEARS[0] <= moment.year < _YEARS[1]:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)

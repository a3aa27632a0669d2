"""Which environment and which time somebody asks about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from church.errors import FieldErrors
from church.services.dora.figures import DAY
from church.services.dora.schemas import EARLIEST, parsed_time

USUAL = timedelta(days=30)
_LONGEST = timedelta(days=3660)
_MOST_TEXT = 40  # characters


@dataclass(frozen=True)
class Window:
    """From ``start``, and up to ``end`` without it, both in UTC."""

    environment: str
    start: datetime
    end: datetime

    @property
    def days(self) -> float:
        """Its length; a day has 24 hours, whatever clocks people change."""
        return (self.end - self.start).total_seconds() / DAY

    def weeks(self) -> Iterator[tuple[datetime, datetime]]:
        """Its weeks, which begin on Monday; the first and the last may be cut off."""
        start = self.start
        while start < self.end:
            monday = datetime.combine(start.date() - timedelta(days=start.weekday()), time(), UTC)
            end = min(monday + timedelta(days=7), self.end)
            yield start, end
            start = end


def asked_window(asked: Mapping[str, str], environments: Sequence[str], now: datetime) -> Window:
    """The window of ``environment``, ``from`` and ``to``; the first environment's last 30 days where they are empty.

    A date is the beginning of its day in UTC. Raises FieldErrors.
    """
    errors: dict[str, str] = {}
    environment = asked.get("environment") or environments[0]
    if environment not in environments:
        errors["environment"] = f"This is one of: {', '.join(environments)}."
    # What has just been told belongs to it, too.
    end = _moment(asked, "to", errors) or now.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
    start = _moment(asked, "from", errors) or end - USUAL
    if not errors and start >= end:
        errors["from"] = "This has to be before the end of the window."
    if not errors and end - start > _LONGEST:
        errors["from"] = "The window is longer than ten years."
    if errors:
        raise FieldErrors(errors)
    return Window(environment, start, end)


def _moment(asked: Mapping[str, str], name: str, errors: dict[str, str]) -> datetime | None:
    value = asked.get(name, "").strip()
    if not value:
        return None
    # A plus sign in a query is a space to whoever reads it.
    found = parsed_time(f"{value}T00:00:00Z" if len(value) == 10 else value[:_MOST_TEXT].replace(" ", "+"))
    if found is None or not EARLIEST <= found <= datetime(2100, 1, 1, tzinfo=UTC):
        errors[name] = "This has to be a date such as 2026-03-01, or a time with its zone such as 2026-03-01T12:00:00Z."
        return None
    return found

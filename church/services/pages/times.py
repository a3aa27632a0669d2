"""When a page is shown, and when it was last changed, by the times of its file and the moment of now."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from church.services.pages.folder import Stamp
from church.services.pages.front_matter import read_time

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


@dataclass(frozen=True)
class PageTimes:
    """The times of a page at one moment. ``turns_at`` is when they change by themselves, in seconds since 1970."""

    updated: dt.datetime
    to_come: bool
    changed: float
    turns_at: float | None


def find_times(stamp: Stamp, opens: dt.datetime | None, now: dt.datetime) -> PageTimes:
    """Find the times of a page: it opens at ``opens``, counts as changed then, and never at a time to come."""
    written = read_time(stamp.mtime_ns)
    changed = find_change(stamp.mtime_ns, stamp.ctime_ns, now)
    to_come = opens is not None and opens > now
    turns = [moment.timestamp() for moment in (opens, written) if moment is not None and moment > now]
    updated = written if written <= now else changed
    if opens is not None and not to_come:
        updated = max(updated, opens)
        changed = max(changed, opens)
    return PageTimes(updated, to_come, changed.timestamp(), min(turns, default=None))


def find_change(mtime_ns: int, ctime_ns: int, now: dt.datetime) -> dt.datetime:
    """Return when a file was last changed: its mtime if that has come, else its ctime, else the begin of today.

    A file that was written or copied under a clock that is ahead has an mtime to come. With that time the feed would be
    in the future for good; with ``now`` it would change with each answer.
    """
    for changed_at in (read_time(mtime_ns), read_time(ctime_ns)):
        if changed_at <= now and changed_at.timestamp() > 0:
            return changed_at
    return dt.datetime.combine(now.date(), dt.time(), dt.UTC)


def to_number(moment: dt.datetime) -> int:
    """Return microseconds since 1970, which a row can keep."""
    return (moment - _EPOCH) // _MICROSECOND


def from_number(number: int) -> dt.datetime:
    """Return the moment of a row."""
    return _EPOCH + number * _MICROSECOND

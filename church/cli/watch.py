"""``flask church logs``, ``errors`` and ``top``: what the telemetry store knows, in a terminal."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from church.cli.log_files import LEVELS, Filters

if TYPE_CHECKING:
    from church.config import Settings

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SECOND = 1_000_000
_MOST_LINES = 1000
_ORDERS = {"time": "duration_ms", "cpu": "cpu_ms", "errors": "errors_5xx", "requests": "count"}
_TAIL_PAUSE = 1.0  # seconds between two questions
_LIVE_PAUSE = 5.0


def _parse_span(_context: click.Context, _option: click.Parameter, value: str) -> int:
    """Return the microseconds since 1970 that a span such as 90m, 6h or 2d goes back to."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", value)
    if found is None:
        raise click.BadParameter("Give a number and a unit, such as 30m, 6h or 2d.")
    return max(0, int(time.time() - int(found[1]) * _UNITS[found[2]]) * _SECOND)


def _since(default: str) -> Callable[[Any], Any]:
    return click.option(
        "--since", default=default, show_default=True, callback=_parse_span, help="How far back: 30m, 6h, 2d."
    )


_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")


@click.command()
@click.option("--follow", is_flag=True, help="Keep printing new records until Ctrl-C.")
@click.option("--level", type=click.Choice(LEVELS, case_sensitive=False), default="DEBUG", help="This level or above.")
@click.option("--grep", "text", help="Only records with this text, in either case.")
@click.option("--request", "request_id", metavar="ID", help="All that is kept of one request, and of jobs it queued.")
@_since("7d")
@click.option("--lines", type=click.IntRange(1, _MOST_LINES), default=100, show_default=True, help="How many records.")
@_json
def logs(
    follow: bool, level: str, text: str | None, request_id: str | None, since: int, lines: int, as_json: bool
) -> None:
    """Print the newest log records, the newest last. Without the telemetry store it reads combined.log."""
    from church.cli.log_output import print_records
    from church.config import load_settings
    from church.services.telemetry_queries import TelemetryStoreDownError

    if follow and request_id:
        raise click.UsageError("--request shows what is there: leave out --follow.")
    settings, filters = load_settings(), Filters(level.upper(), text, request_id, since)
    try:
        pages = _ask_for_records(settings, filters, lines, follow)
        first = next(pages)
    except TelemetryStoreDownError:
        click.echo("The telemetry store is not running: these are of combined.log.", err=True)
        pages = _read_records(settings, filters, lines, follow)
        first = next(pages)
    print_records(first, as_json=as_json)
    if not first and not follow:
        click.echo("There are no such records.", err=True)
    for page in pages:
        print_records(page, as_json=as_json)
        sys.stdout.flush()


def _ask_for_records(settings: Settings, filters: Filters, lines: int, follow: bool) -> Iterator[list[dict[str, Any]]]:
    """Yield what is there, oldest first, then what is new."""
    from church.services.telemetry_queries import ask

    if filters.request_id is not None:
        rows = ask(settings, "requests.find", request_id=filters.request_id).rows
        yield [row for row in rows if filters.match(row, json.dumps(row, ensure_ascii=False))][-lines:]
        return
    wanted = {"level": filters.level, "text": filters.text}
    span = {"from": filters.since, "to": (int(time.time()) + 86_400) * _SECOND}
    cursor = _newest_cursor(settings) if follow else None
    rows = ask(settings, "logs.search", **span, filters=wanted, limit=lines).rows
    yield rows[::-1]
    while follow:
        time.sleep(_TAIL_PAUSE)
        rows = ask(settings, "logs.tail", after=cursor, filters=wanted, limit=_MOST_LINES).rows
        if rows:
            last = max(rows, key=lambda row: row["seq"])
            cursor = {"ts": last["ts"], "seq": last["seq"]}
        yield rows


def _newest_cursor(settings: Settings) -> dict[str, int] | None:
    from church.services.telemetry_queries import ask

    rows = ask(settings, "logs.tail", limit=1).rows
    return {"ts": rows[0]["ts"], "seq": rows[0]["seq"]} if rows else {"ts": 0, "seq": 0}


def _read_records(settings: Settings, filters: Filters, lines: int, follow: bool) -> Iterator[list[dict[str, Any]]]:
    from church.cli import log_files

    path = settings.log_dir / "combined.log"
    yield log_files.read_last(path, filters, lines)
    if follow:
        for row in log_files.follow(path, filters):
            yield [row]


@click.command()
@_since("7d")
@click.option("--lines", type=click.IntRange(1, 200), default=20, show_default=True, help="How many groups.")
@_json
def errors(since: int, lines: int, as_json: bool) -> None:
    """List the errors by class and place in the code, the latest first."""
    from church.cli.log_output import format_time, make_printable
    from church.config import load_settings
    from church.services.telemetry_queries import ask

    span = {"from": since, "to": (int(time.time()) + 86_400) * _SECOND}
    groups = ask(load_settings(), "errors.groups", **span, limit=lines).rows
    if not groups:
        click.echo("No errors.", err=True)
    for group in groups:
        if as_json:
            click.echo(json.dumps(group))
            continue
        click.echo(f"{format_time(group['last'])}  {group['count']:>6}  {group['members']:>4} members  ", nl=False)
        click.secho(make_printable(f"{group['error_type']} in {group['place'] or 'unknown'}"), fg="red")
        click.echo(make_printable(f"  {group['message'] or ''}"))


@click.command()
@_since("1h")
@click.option("--by", type=click.Choice(sorted(_ORDERS)), default="time", show_default=True, help="What counts.")
@click.option("--lines", type=click.IntRange(1, 200), default=20, show_default=True, help="How many routes.")
@click.option("--live", is_flag=True, help="Ask again every five seconds until Ctrl-C.")
@_json
def top(since: int, by: str, lines: int, live: bool, as_json: bool) -> None:
    """List the routes that take the most time, CPU, errors or requests."""
    from church.config import load_settings
    from church.services.telemetry_queries import ask

    settings, begun = load_settings(), time.time()
    while True:
        now = time.time()
        span = {"from": since + int(now - begun) * _SECOND, "to": int(now + 60) * _SECOND}
        routes = ask(settings, "routes.summary", **span).rows
        routes.sort(key=lambda route: route[_ORDERS[by]] or 0, reverse=True)
        if live and not as_json:
            click.clear()
        _print_routes(routes[:lines], as_json)
        if not live:
            return
        time.sleep(_LIVE_PAUSE)


def _print_routes(routes: list[dict[str, Any]], as_json: bool) -> None:
    from church.cli.log_output import make_printable

    if as_json:
        for route in routes:
            click.echo(json.dumps(route))
        return
    click.echo(f"{'requests':>9} {'4xx':>6} {'5xx':>6} {'p50 ms':>8} {'p99 ms':>9} {'time s':>8} {'CPU s':>7}  route")
    for route in routes:
        seconds, cpu = ((route[name] or 0) / 1000 for name in ("duration_ms", "cpu_ms"))
        figures = (
            f"{route['count']:>9} {route['errors_4xx']:>6} {route['errors_5xx']:>6} {route['p50'] or 0:>8.1f} "
            f"{route['p99'] or 0:>9.1f} {seconds:>8.1f} {cpu:>7.1f}"
        )
        name = f"{route['method'] or ''} {route['route'] or 'no route'}"
        click.secho(make_printable(f"{figures}  {name}"), fg="red" if route["errors_5xx"] else None)

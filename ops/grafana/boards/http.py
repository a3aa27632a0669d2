"""HTTP: rate, errors and duration of every route, and the resources of the processes."""

from __future__ import annotations

from ops.grafana.parts import Board, graph, number
from ops.grafana.queries import Query, busiest, each, most, one, quantile, rate, share, site, spread, total

FAILED = 'status_code=~"5.."'
STARTED = 'outcome="started"'
VISITORS = 'route!~"/health|/ready|/metrics"'

_requests = total(rate("http_requests_total"))
_failed = total(rate("http_requests_total", FAILED))
_timed = "http_request_duration_seconds"
_quick = total(rate(f"{_timed}_bucket", VISITORS, 'le="0.3"'))
_all = total(rate(f"{_timed}_count", VISITORS))

NOW = (
    number("Requests", "Requests per second on the selected instances.", "reqps", Query(_requests)),
    number(
        "Errors",
        "Share of all requests that ended in 5xx. Empty while there are no requests.",
        "percentunit",
        Query(share(_failed, _requests)),
        steps=((0.005, "yellow"), (0.02, "red")),
        empty="no requests",
        decimals=2,
    ),
    number(
        "Within 0.3 s",
        "Share of requests, without probes and scrapes, that were answered to the last byte in 0.3 s. Exact, because it"
        " is the bound of a bucket.",
        "percentunit",
        Query(share(_quick, _all)),
        start="red",
        steps=((0.9, "yellow"), (0.95, "green")),
        empty="no requests",
        decimals=2,
    ),
    number("In flight", "Requests being processed now.", "none", Query(total(site("http_requests_in_flight")))),
    number(
        "Hosts",
        "Instances whose last scrape succeeded.",
        "none",
        Query(total(site("up"))),
        start="red",
        steps=((1, "green"),),
    ),
    number(
        "Database and store",
        "The worst of all instances: 1 if the database and the shared store answer.",
        "bool_yes_no",
        Query(f"min({site('database_up')})", "database"),
        Query(f"min({site('store_up')})", "store"),
        start="red",
        steps=((1, "green"),),
    ),
)
RED = (
    graph(
        "Requests by route",
        "Per second, the ten busiest; _unmatched fits no route.",
        "reqps",
        busiest("route", "http_requests_total"),
        stacked=True,
    ),
    graph(
        "Requests by status",
        "Per second, by response status.",
        "reqps",
        each("status_code", "http_requests_total"),
        stacked=True,
    ),
    graph(
        "Errors by route",
        "Requests per second that ended in 5xx. Zero means no errors.",
        "reqps",
        Query(f"{total(rate('http_requests_total', FAILED), 'route')} or vector(0)", "{{route}}"),
    ),
    graph(
        "Latency",
        "Median, 95th and 99th percentile, to the last byte. A dot is a sampled request and links to its trace.",
        "s",
        *spread(_timed, VISITORS),
        Query(quantile(0.99, _timed, VISITORS), "99 of 100", exemplar=True),
    ),
    graph(
        "Latency by route",
        "95th percentile, the ten slowest routes.",
        "s",
        Query(most(quantile(0.95, _timed, VISITORS, by="route")), "{{route}}"),
    ),
    graph(
        "Bytes sent by route",
        "Response bodies per second, before any proxy; the ten largest.",
        "Bps",
        busiest("route", "http_response_bytes_total"),
        stacked=True,
    ),
)
PROCESSES = (
    graph(
        "CPU",
        "Cores that each host's processes use, including the worker process.",
        "none",
        each("instance", "process_cpu_seconds_total"),
        width=8,
    ),
    graph(
        "Memory",
        "Resident memory of all processes of a host; shared pages count in each.",
        "bytes",
        Query(total(site("process_resident_memory_bytes"), "instance"), "{{instance}}"),
        width=8,
    ),
    graph(
        "Workers",
        "Live gunicorn workers of each host, and their restarts.",
        "none",
        Query(f"min by (instance) ({site('gunicorn_workers')})", "{{instance}}"),
        Query(
            f"sum by (instance) (changes({site('process_start_time_seconds')}[$__rate_interval]))",
            "{{instance}} restarts",
        ),
        width=8,
    ),
    graph(
        "Outgoing calls",
        "95th percentile of calls to Stripe, the mail server and the video bucket.",
        "s",
        Query(quantile(0.95, "outbound_request_duration_seconds", by="service"), "{{service}}"),
        width=8,
    ),
    graph(
        "Disk",
        "Free space below the site's folders, on the host with the least.",
        "bytes",
        Query(f"min by (path) ({site('disk_free_bytes')})", "{{path}}"),
        width=8,
    ),
    graph(
        "Queue",
        "Waiting jobs, dead jobs and waiting emails, from the database.",
        "none",
        Query(f"sum({one(site('jobs_pending'), 'kind')})", "waiting jobs"),
        Query(f"sum({one(site('jobs_dead'), 'kind')}) or vector(0)", "dead jobs"),
        Query(one(site("mail_pending")), "waiting emails"),
        width=8,
    ),
)
VIDEOS = (
    graph(
        "Playbacks",
        "Playbacks started and streams refused per second.",
        "ops",
        each("outcome", "video_streams_total"),
        width=8,
    ),
    graph(
        "Playbacks by video",
        "The ten most watched.",
        "ops",
        busiest("video_id", "video_streams_total", STARTED),
        width=8,
    ),
    graph(
        "Video bytes",
        "Sent per second by the site itself; without what nginx or a bucket sends.",
        "Bps",
        Query(total(rate("video_bytes_total")), "sent"),
        width=8,
    ),
)
TELEMETRY = (
    graph(
        "Scrapes",
        "99th percentile of the time to build a scrape.",
        "s",
        Query(quantile(0.99, "telemetry_scrape_duration_seconds"), "99 of 100"),
        width=8,
    ),
    graph(
        "Dropped telemetry",
        "Metrics, records and spans per second that were dropped so that a request could continue.",
        "ops",
        each("part", "telemetry_errors_total"),
        width=8,
    ),
    graph(
        "Damaged files, refused series",
        "Both should stay at zero: damaged slot files, and label sets over the limit.",
        "ops",
        Query(total(rate("telemetry_corrupt_files_total")), "damaged files"),
        Query(total(rate("telemetry_series_dropped_total")), "refused series"),
        width=8,
    ),
)
BOARD = Board(
    "church-http",
    "Church: HTTP",
    "Rate, errors and duration of the site's requests, and the resources of its processes.",
    (("Now", NOW), ("Requests", RED), ("Hosts", PROCESSES), ("Videos", VIDEOS), ("Telemetry", TELEMETRY)),
    logs='| event="http.request" or event_name="http.request"',
    traces='{resource.service.name="church"}',
)
